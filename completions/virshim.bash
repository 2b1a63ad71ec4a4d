# Completion of virshim in bash (and in zsh after `autoload -U bashcompinit; bashcompinit`): source this file.
_virshim() {
  local at=1 end=0 word
  local -a line options
  line=() options=() COMPREPLY=()
  # readline parts words at = and : too
  for word in "${COMP_WORDS[@]:0:$((COMP_CWORD + 1))}"; do
    if ((end > 1)) && [[ "$word" == [=:]* || "${line[end - 1]}" == *[=:] ]]; then
      line[$((end - 1))]+="$word"
    else
      line+=("$word")
      ((end += 1))
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
      ((at += 1))
      ;;
    *) break ;;
    esac
  done
  # zsh has no mapfile
  while IFS= read -r word; do
    COMPREPLY+=("$word")
  done < <(((at < end)) && "${line[0]}" "${options[@]}" complete -- "${line[@]:$at:$((end - at))}" 2>/dev/null)
  ((${#COMPREPLY[@]})) && return
  # nothing is known of the word: it may be a file
  word="${COMP_WORDS[COMP_CWORD]}"
  while IFS= read -r word; do
    COMPREPLY+=("$word")
  done < <(compgen -f -- "${word#=}")
}
complete -F _virshim virshim
