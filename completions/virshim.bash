# Completion of virshim in bash (and in zsh after `autoload -U bashcompinit; bashcompinit`): source this file.
_virshim() {
  local word="${COMP_WORDS[COMP_CWORD]}" program="${COMP_WORDS[0]}" at=1
  local -a options=()
  while ((at < COMP_CWORD)); do
    case "${COMP_WORDS[at]}" in
    -c | --connect)
      options+=("${COMP_WORDS[at]}" "${COMP_WORDS[at + 1]}")
      ((at += 2))
      ;;
    -*)
      options+=("${COMP_WORDS[at]}")
      ((at++))
      ;;
    *) break ;;
    esac
  done
  ((at > COMP_CWORD)) && { mapfile -t COMPREPLY < <(compgen -f -- "$word"); return; }
  mapfile -t COMPREPLY < <("$program" "${options[@]}" complete -- "${COMP_WORDS[@]:at:COMP_CWORD-at+1}" 2>/dev/null)
  ((${#COMPREPLY[@]})) || mapfile -t COMPREPLY < <(compgen -f -- "$word")
}
complete -F _virshim virshim
