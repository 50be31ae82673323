#!/bin/sh
# The first process of the machine under test: network as the tester has it (conformance/targets/adapted.py), settings
# as those of the own kernel (conformance/targets/netns.py), then the agent on the channel, which may be a serial line.
: "${DEVICE:=vec0}" "${CHANNEL:=/dev/ttyS0}"
PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
[ -d /sys/class ] || mount -t sysfs sysfs /sys
set_to() { # NAME VALUE, where the kernel has it
    [ -e "/proc/sys/$1" ] && echo "$2" > "/proc/sys/$1"
}
[ -n "$MODULES" ] && python3 -S -E -c '# finit_module(2) without kmod, which a small machine lacks
import ctypes, os, sys
for module in filter(None, sys.argv[1].split(":")):
    ctypes.CDLL(None).syscall(313, os.open(module, os.O_RDONLY), b"", 0)' "$MODULES"
set_to net/ipv6/conf/$DEVICE/accept_dad 0
set_to net/ipv6/conf/$DEVICE/accept_ra 0
set_to net/core/somaxconn 65535
set_to net/ipv4/tcp_max_syn_backlog 65536
set_to net/ipv4/tcp_max_tw_buckets 262144
set_to net/ipv4/tcp_syncookies 0
set_to net/ipv4/tcp_no_metrics_save 1
set_to net/ipv4/tcp_challenge_ack_limit 2147483647
set_to net/ipv4/icmp_ratelimit 0
set_to net/ipv4/tcp_congestion_control reno
set_to net/ipv4/conf/all/rp_filter 0
IFS=,
for setting in $SYSCTLS; do # what a case asks for: NAME=VALUE,NAME=VALUE
    set_to "${setting%%=*}" "${setting#*=}"
done
unset IFS
ip link set lo up
ip link set $DEVICE address 02:00:5e:00:00:01
ip link set $DEVICE up
ip addr add 192.0.2.1/24 dev $DEVICE
ip addr add 2001:db8:ffff::1/64 dev $DEVICE nodad
ip neigh replace 192.0.2.254 lladdr 02:00:5e:00:00:fe nud permanent dev $DEVICE
ip neigh replace 2001:db8:ffff::fe lladdr 02:00:5e:00:00:fe nud permanent dev $DEVICE
ip route add default via 192.0.2.254 quickack 1
ip -6 route add default via 2001:db8:ffff::fe quickack 1
ip route add 198.19.0.0/20 via 192.0.2.254 # ACKs may be delayed towards these (conformance/targets/program.py)
ip -6 route add 2001:db8:0:1::/116 via 2001:db8:ffff::fe
ulimit -n 65536
exec 5<> "$CHANNEL"
[ -t 5 ] && stty raw -echo <&5
echo '{"ready": true}' >&5
export CONFORMANCE_HELLO='{"quick_ack": true}'
python3 -S -E "$AGENT" --stdio <&5 >&5
poweroff -f
