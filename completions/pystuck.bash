# Completion of pystuck's command line for bash. The options are those of pystuck --help: tests/dist/test_completions.py compares them.
# shellcheck shell=bash

_pystuck_sockets() {
	pystuck --list 2>/dev/null | awk '{ for (i = 1; i <= NF; i++) if ($i ~ /^\//) print $i }'
}

_pystuck() {
	local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}
	# bash takes "=" for a word of its own: --color=al
	if [[ $before == '=' ]]; then
		before=${COMP_WORDS[COMP_CWORD - 2]}
	elif [[ $word == '=' ]]; then
		word= before=${COMP_WORDS[COMP_CWORD - 1]}
	fi
	COMPREPLY=()
	case $before in
	--socket)
		mapfile -t COMPREPLY < <(compgen -W "$(_pystuck_sockets)" -- "$word"; compgen -f -- "$word")
		compopt -o filenames 2>/dev/null
		return
		;;
	--key | --keygen)
		mapfile -t COMPREPLY < <(compgen -f -- "$word")
		compopt -o filenames 2>/dev/null
		return
		;;
	--pid)
		mapfile -t COMPREPLY < <(compgen -W "$(pystuck --list 2>/dev/null | awk '$1 ~ /^[0-9]+$/ { print $1 }')" -- "$word")
		return
		;;
	--inject)
		mapfile -t COMPREPLY < <(compgen -W "$(ps -eo pid=,comm= 2>/dev/null | awk '$2 ~ /^python/ { print $1 }')" -- "$word")
		return
		;;
	--unit)
		mapfile -t COMPREPLY < <(compgen -W "$(systemctl list-units --type=service --plain --no-legend 2>/dev/null |
			awk '{ sub(/\.service$/, "", $1); print $1 }')" -- "$word")
		return
		;;
	--role)
		mapfile -t COMPREPLY < <(compgen -W 'stacks locals eval' -- "$word")
		return
		;;
	--color)
		mapfile -t COMPREPLY < <(compgen -W 'auto always never' -- "$word")
		return
		;;
	-c | --command | --key-name | --timeout) return ;;
	esac
	if [[ $word == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W '-c --command --socket --pid --inject --unit --list --no-stacks --no-repl --no-ipython
			--locals --raw --json --key --key-name --keygen --role --add --timeout --color -V --version -h --help' -- "$word")
	else
		mapfile -t COMPREPLY < <(compgen -A hostname -- "$word")
	fi
}
complete -F _pystuck pystuck
