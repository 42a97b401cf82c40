#!/bin/sh
# A plugin in shell: instances are processes of this machine. Needs nothing but a POSIX shell, sed,
# setsid and flock (on Debian: what every installation has).
#
#   exec:
#     command: [/etc/plimsoll/local.sh, /run/my-service]     # a folder to remember instances in
#     config: {command: "exec my-server --port $PORT", port: "21000"}
#
# config.command is run by a shell, with PORT (config.port + number % 1000) and INSTANCE (its name)
# in the environment. An instance is a folder, made by mkdir: so a name starts once, however often
# it is asked for, and by however many.
#
# How a shell can read JSON: plimsoll writes each request on one line without spaces, "config" and
# "size" last, and names without anything to escape. See docs/plugin.md.
set -eu

dir=${1:?usage: local.sh FOLDER}
mkdir -p "$dir"
prefix=plimsoll-

# One line, whole: the watcher and the stops write as well.
say() {
    (flock 9 && printf '%s\n' "$1") 9>"$dir/.lock"
}

# --- reading a request: $line ---

text() { # KEY: a text without escapes, at the top
    case $head in *"\"$1\":\""*) ;; *) return ;; esac
    value=${head#*"\"$1\":\""}
    printf '%s' "${value%%\"*}"
}

number() { # KEY
    value=${head#*"\"$1\":"}
    printf '%s' "${value%%[,\}]*}"
}

config() { # KEY: any text, in "config"
    printf '%s' "$config" |
        sed -En 's/^(.*,)?"'"$1"'":"(([^"\\]|\\.)*)".*$/\2/p' | sed 's/\\"/"/g'
}

# --- instances ---

# Its process is the one that was started, and not a later one with the same number.
alive() { # FOLDER
    [ -f "$1/born" ] && read -r pid <"$1/pid" && read -r born <"$1/born" || return 1
    { read -r stat <"/proc/$pid/stat"; } 2>/dev/null || return 1
    # shellcheck disable=SC2086 # the words of /proc/PID/stat behind the name
    set -- ${stat##*) }
    [ "$1" != Z ] && [ "$1" != X ] && [ "${20}" = "$born" ]
}

describe() { # FOLDER
    read -r facts <"$1/facts" && read -r pid <"$1/pid" || return 1
    printf '{"name":"%s","pid":%s,%s}' "${1##*/}" "$pid" "$facts"
}

launch() { # FOLDER: a session of its own, so that it outlives this plugin
    port=$(config port)
    port=$((${port:-20000} + $(number number) % 1000))
    log=$(text log)
    [ -d "${log%/*}" ] || log=/dev/null
    command=$(printf '%b' "$(config command)")
    printf '"address":"127.0.0.1:%s","template":"%s","drain":%s\n' \
        "$port" "$(text template)" "$(number drain)" >"$1/facts"
    PORT=$port INSTANCE=${1##*/} setsid /bin/sh -c "$command" </dev/null >>"$log" 2>&1 &
    echo $! >"$1/pid"
    { read -r stat <"/proc/$!/stat"; } 2>/dev/null || return 1
    # shellcheck disable=SC2086
    set -- "$1" ${stat##*) }
    echo "${21}" >"$1/born.new" && mv "$1/born.new" "$1/born" # the watcher looks from now on
}

# Who asked may not lead any more: another one decides now, and this must not be done.
late() {
    now=$(date +%s%N)
    [ "${now%??????}" -ge "$(number until)" ]
}

start() {
    name=$(text name)
    if mkdir "$dir/$name" 2>/dev/null; then
        launch "$dir/$name" || {
            rm -rf "${dir:?}/$name"
            say "{\"id\":$id,\"error\":\"$name ended at once\"}"
            return
        }
    elif ! alive "$dir/$name"; then
        say "{\"id\":$id,\"error\":\"$name has been here, and has ended\"}"
        return
    fi
    say "{\"id\":$id,\"ok\":$(describe "$dir/$name")}"
}

stop() { # in the background: the grace may be long
    folder=$dir/$(text name)
    tenths=$(($(number grace | cut -d. -f1) * 10))
    signal=TERM
    mkdir "$folder/stopping" 2>/dev/null || : # the watcher leaves it alone
    while alive "$folder"; do
        kill -s "$signal" -- "-$pid" 2>/dev/null || :
        while alive "$folder" && { [ "$tenths" -gt 0 ] || [ "$signal" = KILL ]; }; do
            sleep 0.1
            tenths=$((tenths - 1))
        done
        signal=KILL
    done
    rm -rf "$folder"
    say "{\"id\":$id,\"ok\":{}}"
}

list() {
    all=
    for folder in "$dir/$prefix"*; do
        alive "$folder" && one=$(describe "$folder") && all=$all${all:+,}$one
    done
    say "{\"id\":$id,\"ok\":[$all]}"
}

watch() { # until the plugin is gone
    while kill -0 $$ 2>/dev/null; do
        for folder in "$dir/$prefix"*; do
            if [ -f "$folder/born" ] && [ ! -d "$folder/stopping" ] && ! alive "$folder"; then
                rm -rf "$folder"
                say "{\"event\":\"exited\",\"name\":\"${folder##*/}\",\"text\":\"its process ended\"}"
            fi
        done
        sleep 0.5
    done
}

subscribe() {
    watch &
    say "{\"id\":$id,\"ok\":{}}"
}

say '{"plimsoll":1,"name":"local","can":["subscribe"],"at-once":32}'
while IFS= read -r line; do
    head=${line%%,\"config\":\{*}
    config=${line#*,\"config\":\{}
    config=${config%%\},\"size\":\{*}
    id=$(number id)
    what=$(text do)
    case $what in start | stop | resize) if late; then what=late; fi ;; esac
    case $what in
    late) say "{\"id\":$id,\"error\":\"asked for too long ago (or the clocks differ)\"}" ;;
    start) start ;;
    stop) stop & ;;
    list) list ;;
    subscribe) subscribe ;;
    '') prefix=plimsoll-$(text owner)- ;; # its hello
    *) say "{\"id\":$id,\"error\":\"cannot $what\"}" ;;
    esac
done
