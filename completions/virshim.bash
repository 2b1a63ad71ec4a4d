# Completion of virshim in bash (and in zsh after `autoload -U bashcompinit; bashcompinit`): source this file.
_virshim() {
  local last="${COMP_WORDS[COMP_CWORD]}" at=1 end=0 word
  local -a line=() options=()
  # readline parts words at = and : too
  for word in "${COMP_WORDS[@]:0:COMP_CWORD+1}"; do
    if ((end > 1)) && [[ "$word" == [=:]* || "${line[end - 1]}" == *[=:] ]]; then
      line[end - 1]+="$word"
    else
      line[end++]="$word"
    fi
  done
  while ((at < end - 1)); do
    case "${line[at]}" in
    -c | --connect)
      options+=("${line[at]}" "${line[at + 1]}")
      ((at += 2))
      ;;
    -*)
      options+=("${line[at]}")
      ((at++))
      ;;
    *) break ;;
    esac
  done
  ((at >= end)) && { mapfile -t COMPREPLY < <(compgen -f -- "$last"); return; }
  mapfile -t COMPREPLY < <("${line[0]}" "${options[@]}" complete -- "${line[@]:at:end-at}" 2>/dev/null)
  ((${#COMPREPLY[@]})) || mapfile -t COMPREPLY < <(compgen -f -- "${last#=}")
}
complete -F _virshim virshim
