#!/bin/sh
# SPDX-License-Identifier: MIT
# shellcheck source=/dev/null
#
# 512 MiB without PSI: everything works, nothing is killed; then the same where
# nothing can be written and neither /proc nor /sys is there.
. /guest/checks.sh

killed() {
    awk '$1 == "oom_kill" { print $2 }' /proc/vmstat
}

holds 'gov profile' profile gov profile --quick --json --no-save --models /disk
show_profile
within 'ram' $((400 << 20)) $((512 << 20)) "$(fact device.ram)"
within 'budget' $((64 << 20)) "$(meminfo MemTotal)" "$(fact budget.ram)"
within 'reads' 1 1000000000000000 "$(figure read.readahead)"
same 'psi, turned off' false "$(fact device.psi)"
same "tier, the first of tiers.yaml" tiny "$(fact device.tier)"
same 'nobody was killed' 0 "$(killed)"
ram_seen=$(fact device.ram)

# / again, read-only, without what is mounted on it.
mkdir /bare
mount -o bind / /bare
mount -o remount,ro,bind / /bare
same 'nothing can be written' 1 "$(touch /bare/x 2>/dev/null; echo $?)"
same 'no /proc' 1 "$(ls /bare/proc/self >/dev/null 2>&1; echo $?)"
bare='chroot /bare gov profile --quick --json --no-save'
# shellcheck disable=SC2086
holds 'gov profile, bare' profile $bare
show_profile
same 'bare: ram' null "$(fact device.ram)"
same 'bare: figure of reading' null "$(figure read.readahead)"
for name in ram available swap cpu psi zram overcommit; do
    [ "$(fact device.$name)" = null ] || continue
    like "bare: why device.$name is unknown" '?*' "$(from device.$name)"
done
within 'bare: memory is measured' 1 1000000000000000 "$(figure memory.read)"

# What it is for still works there.
mount -o bind /proc /bare/proc
# shellcheck disable=SC2086
holds 'gov profile, with /proc' profile $bare
same 'with /proc: ram' "$ram_seen" "$(fact device.ram)"
same 'nobody was killed at last' 0 "$(killed)"
holds 'kernel log' kernel_is_content
