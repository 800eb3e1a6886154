#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The first process of a guest: makes it a system, runs /guest/$script.sh and
# turns the machine off. $script and $ram come from the kernel's command line.
export PATH=/bin HOME=/home TMPDIR=/disk LC_ALL=C
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mount -t cgroup2 cgroup2 /sys/fs/cgroup
while read -r module; do
    [ ! -e "/modules/$module.ko" ] || insmod "/modules/$module.ko"
done </order
rm -rf /modules /order
[ ! -b /dev/vda ] || mount -t ext4 /dev/vda /disk
mkdir -m 1777 /dev/shm && mount -t tmpfs shm /dev/shm
ip link set lo up 2>/dev/null
echo "guest: Linux $(uname -r) $(uname -m), ${ram:?} MiB, up in $(cut -d ' ' -f 1 /proc/uptime) s"
cd /home || :
sh "/guest/${script:?}.sh"
echo "guest: done after $(cut -d ' ' -f 1 /proc/uptime) s"
poweroff -f
