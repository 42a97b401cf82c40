# Completion for bash: commands and their options, both as the program itself lists them.
_plimsoll()
{
    local word=${COMP_WORDS[COMP_CWORD]}
    if [ "$COMP_CWORD" -eq 1 ]; then
        mapfile -t COMPREPLY < <(compgen -W "$(plimsoll help | sed -n 's/^  \([a-z-]*\)  .*/\1/p')" -- "$word")
        return
    fi
    case $word in
    -*)
        local options
        options=$(plimsoll "${COMP_WORDS[1]}" --help 2>/dev/null | grep -oE '^  (-., )?--[a-z-]+' | grep -oE -- '--[a-z-]+')
        mapfile -t COMPREPLY < <(compgen -W "$options" -- "$word")
        ;;
    *)
        mapfile -t COMPREPLY < <(compgen -f -- "$word")
        ;;
    esac
}
complete -F _plimsoll plimsoll
