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
for _ in 1 2 3 4 5 6 7 8 9 10; do # the probing of devices goes on beside; nothing wakes a shell at its end
    [ -e "$CHANNEL" ] && [ -e "/sys/class/net/$DEVICE" ] && break
    sleep 0.2
done
python3 -S -E -c '# ethtool -K DEVICE gro off: data that waits to be joined would be overtaken by what comes after it
import array, fcntl, socket, struct, sys
value = array.array("I", [0x2C, 0])
request = struct.pack("16sQ16x", sys.argv[1].encode(), value.buffer_info()[0])
fcntl.ioctl(socket.socket(socket.AF_INET, socket.SOCK_DGRAM), 0x8946, request)' "$DEVICE"
. /machine.sh
