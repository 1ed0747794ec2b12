# Completion of pystuck's command line for fish. The options are those of pystuck --help: tests/dist/test_completions.py compares them.

function __pystuck_pids
    pystuck --list 2>/dev/null | string match -r '^ *[0-9]+' | string trim
end
function __pystuck_units
    systemctl list-units --type=service --plain --no-legend 2>/dev/null | string replace -rf '\.service .*$' ''
end

complete -c pystuck -f
complete -c pystuck -n 'not string match -q -- "-*" (commandline -ct)' -a '(__fish_print_hostnames)'
complete -c pystuck -l socket -r -F -d 'The server with this Unix socket'
complete -c pystuck -l pid -x -a '(__pystuck_pids)' -d 'The server of this process'
complete -c pystuck -l inject -x -a '(__fish_complete_pids)' -d 'The same, and makes a server if there is none'
complete -c pystuck -l unit -x -a '(__pystuck_units)' -d 'The server of this unit of systemd'
complete -c pystuck -l list -d 'List the servers on this machine'
complete -c pystuck -l all -d 'All servers on this machine, as a tree of processes'
complete -c pystuck -s c -l command -x -d 'Evaluate code and print its value'
complete -c pystuck -l no-stacks -d 'Don\'t print the stacks'
complete -c pystuck -l no-repl -d 'Don\'t open a prompt'
complete -c pystuck -l no-ipython -d 'Don\'t open a prompt'
complete -c pystuck -l no-rc -d 'Don\'t run the start-up file'
complete -c pystuck -l locals -d 'Print the variables of each frame'
complete -c pystuck -l thread -x -d 'Only this thread: name, ident, tid or pattern'
complete -c pystuck -l frames -x -d 'Only the innermost frames of each thread'
complete -c pystuck -l no-group -d 'Print threads with the same stack one by one'
complete -c pystuck -l children -d 'The stacks of its child processes too'
complete -c pystuck -l sample -x -d 'Print where the time goes, in so many seconds'
complete -c pystuck -l rate -x -d 'Looks in a second, for --sample'
complete -c pystuck -l output -r -F -d 'Write a profile: .svg, .html, .json, .txt'
complete -c pystuck -l diff -r -F -d 'What moved between two saved dumps'
complete -c pystuck -l merge -r -F -d 'Many saved dumps as one tree of stacks'
complete -c pystuck -l watch -x -d 'Seconds; look again and again'
complete -c pystuck -l greenlets -d 'Say it also when there are no greenlets'
complete -c pystuck -l no-greenlets -d 'Do not look for greenlets'
complete -c pystuck -l generators -d 'Print suspended generators and coroutines too'
complete -c pystuck -l tasks -d 'Print the tasks of asyncio as a tree'
complete -c pystuck -l raw -d 'Read the stacks without the GIL'
complete -c pystuck -l json -d 'Print JSON'
complete -c pystuck -l key -r -F -d 'Key file'
complete -c pystuck -l key-name -x -d 'Name of the key'
complete -c pystuck -l keygen -r -F -d 'Make a new key file'
complete -c pystuck -l role -x -a 'stacks locals eval' -d 'What the new key is limited to'
complete -c pystuck -l add -d 'Put the new key into a file that is there'
complete -c pystuck -l timeout -x -d 'Seconds, for connecting, stacks and evaluations'
complete -c pystuck -l color -x -a 'auto always never' -d 'When to use colours'
complete -c pystuck -s V -l version -d 'Print the version'
complete -c pystuck -s h -l help -d 'Print the help'
