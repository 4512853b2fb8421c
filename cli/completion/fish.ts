/** The completion of fish, version 3 or later. */
export const FISH = `# fish completion for psample

function __psample_complete
    set -l words (commandline -opc)
    # Without its quotes, which may not be closed yet.
    set -l current (commandline -ct)
    if string match -qr '^[\\'"]' -- "$current"
        set current (string sub -s 2 -- $current)
    else
        set current (string unescape -- "$current"; or echo $current)
    end
    set -l program (string replace -r '^~' $HOME -- $words[1])
    set -e words[1]
    set -l reply (command $program __complete $words "$current" 2>/dev/null </dev/null)
    set -l marks (string split ' ' -- $reply[1])
    set -l head $reply[2]
    set -l rest (string sub -s (math (string length -- "$head") + 1) -- "$current")
    set -e reply[1..2]
    for line in $reply
        printf '%s%s\\n' "$head" $line
    end
    if contains -- file $marks
        for file in (__fish_complete_path "$rest")
            printf '%s%s\\n' "$head" $file
        end
    end
    if contains -- user $marks
        for user in (__fish_complete_users)
            printf '%s%s\\n' "$head" $user
        end
    end
    if contains -- host $marks
        for host in (__fish_print_hostnames)
            printf '%s%s\\n' "$head" $host
        end
    end
end

complete -c psample -f -a '(__psample_complete)'
`;
