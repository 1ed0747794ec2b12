# Completion of pystuck's command line for bash. The options are those of pystuck --help: tests/dist/test_completions.py compares them.
# shellcheck shell=bash

_pystuck_sockets() {
	pystuck --list 2>/dev/null | awk '{ for (i = 1; i <= NF; i++) if ($i ~ /^\//) print $i }'
}

_pystuck_words() {
	mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -W "$1" -- "$word")
}
_pystuck_files() {
	mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -f -- "$word")
	compopt -o filenames 2>/dev/null
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
	--socket) _pystuck_words "$(_pystuck_sockets)"; _pystuck_files ;;
	--key | --keygen | --output) _pystuck_files ;;
	--pid) _pystuck_words "$(pystuck --list 2>/dev/null | awk '$1 ~ /^[0-9]+$/ { print $1 }')" ;;
	--inject) _pystuck_words "$(ps -eo pid=,comm= 2>/dev/null | awk '$2 ~ /^python/ { print $1 }')" ;;
	--unit)
		_pystuck_words "$(systemctl list-units --type=service --plain --no-legend 2>/dev/null |
			awk '{ sub(/\.service$/, "", $1); print $1 }')"
		;;
	--role) _pystuck_words 'stacks locals eval' ;;
	--color) _pystuck_words 'auto always never' ;;
	-c | --command | --key-name | --timeout | --watch | --sample | --rate) ;;
	*)
		if [[ $word == -* ]]; then
			_pystuck_words '-c --command --socket --pid --inject --unit --list --all --children --watch --diff --merge --greenlets --no-greenlets --generators --no-stacks --no-repl --no-ipython --no-rc
				--thread --frames --locals --no-group --tasks --raw --sample --rate --output --json --key --key-name --keygen --role --add --timeout --color -V --version -h --help'
		else
			mapfile -t COMPREPLY < <(compgen -A hostname -- "$word")
		fi
		;;
	esac
}
complete -F _pystuck pystuck
