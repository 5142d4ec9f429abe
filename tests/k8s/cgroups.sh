# The cgroups of a run: one folder in each hierarchy, named by the process that holds the run, which is all that its
# namespaces see. Process limits of pods work as ever, and removing the folder removes everything.

hierarchies() {
    local folder
    if [ -e /sys/fs/cgroup/cgroup.procs ]; then
        echo /sys/fs/cgroup
        return
    fi
    for folder in /sys/fs/cgroup/*; do
        [ -L "$folder" ] || [ ! -e "$folder/cgroup.procs" ] || echo "$folder"
    done
}

# Makes the folders and moves this shell there.
enter_cgroups() { # NAME
    local folder own file
    for folder in $(hierarchies); do
        own=$folder/$1
        mkdir -p "$own"
        for file in cpuset.cpus cpuset.mems; do
            [ ! -e "$folder/$file" ] || [ ! -e "$own/$file" ] || [ -e "$own/cgroup.controllers" ] || cat "$folder/$file" >"$own/$file"
        done
        echo $BASHPID >"$own/cgroup.procs"
    done
}

# In version 2, processes live in leaves only: this shell moves to one, and the containers' folder is beside it.
leave_the_branch() { # NAME
    [ -e /sys/fs/cgroup/cgroup.procs ] || return 0
    mkdir -p "/sys/fs/cgroup/$1/parts"
    echo $BASHPID >"/sys/fs/cgroup/$1/parts/cgroup.procs"
}

# Inside the namespaces: the run's folder is the root.
see_own_cgroups() { # NAME
    local folder
    for folder in $(hierarchies); do mount --bind "$folder/$1" "$folder"; done
}

remove_cgroups() { # NAME: true when none is left; a folder with a living process stays
    local folder left=0
    for folder in $(hierarchies); do
        [ ! -d "$folder/$1" ] || find "$folder/$1" -depth -type d -exec rmdir {} + 2>/dev/null || left=1
    done
    return $left
}

# Those of runs whose holder is gone, however it went.
remove_stale_cgroups() {
    local folder
    for folder in $(hierarchies); do
        for folder in "$folder"/redisnode-*; do
            [ ! -d "$folder" ] || [ -e "/proc/${folder##*redisnode-}" ] || remove_cgroups "${folder##*/}" || true
        done
    done
}
