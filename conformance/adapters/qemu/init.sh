#!/bin/sh
# The first process of a machine whose root is its initrd: devices, then what every machine under test does (machine.sh).
PATH=/usr/sbin:/usr/bin:/sbin:/bin
ip() { # this shell has one of its own, which knows less
    /tools/ip "$@"
}
python3() {
    /tools/python3 "$@"
}
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
for module in /modules/*.ko; do # their names are in order
    insmod "$module"
done
DEVICE=eth0 CHANNEL=/dev/vport0p1 AGENT=/agent.py MODULES=
for _ in 1 2 3 4 5 6 7 8 9 10; do # the probing of devices goes on beside
    [ -e "$CHANNEL" ] && [ -e "/sys/class/net/$DEVICE" ] && break
    sleep 0.2
done
. /machine.sh
