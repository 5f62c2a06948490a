#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# What a LAVA job runs on the board, where no controller sees what happens. Results are LAVA test cases:
#
#   on-board.sh start [MODULE-FILE…]        load modules, wait for the GPU, begin to record the kernel log
#   on-board.sh identity BUILD-ID [MODULE=BUILD-ID…]   the kernel that runs is the one that was built
#   on-board.sh workload NAME COUNT ARG…    `iterate` ARG…; gives NAME.program and NAME.kernel
#
# NAME.program: every iteration ended as it was to end. NAME.kernel: the kernel logged nothing at level warning or worse
# since the workload before (the GPU, for the first), and that record is whole. A check that cannot be made fails.
# The variables PANTHORLAB_… are for this script's own tests.
set -u

here=${0%/*}
records=${PANTHORLAB_RECORDS:-/tmp/panthorlab.kmsg}
kmsg=${PANTHORLAB_KMSG:-/dev/kmsg}
sys=${PANTHORLAB_SYS:-/sys}
render=${PANTHORLAB_RENDER:-/dev/dri/renderD*}

result() { # result CASE pass|fail [MEASUREMENT UNITS]
	lava-test-case "$1" --result "$2" ${3:+--measurement "$3" --units "$4"}
}

give_up() { # give_up CASE REASON: nothing that follows could count
	echo "panthorlab: $2"
	result "$1" fail
	lava-test-raise "panthorlab: $2"
	exit 1
}

wait_for() { # wait_for SECONDS COMMAND…: until it succeeds
	left=$((5 * $1))
	shift
	until "$@"; do
		left=$((left - 1))
		[ "$left" -gt 0 ] || return 1
		sleep 0.2 2>/dev/null || sleep 1 # not every shell tool knows parts of seconds
	done
}

start() {
	for module; do
		insmod "$module" || give_up gpu "insmod $module failed"
	done
	"$here/init" wait "$render" 60 >/dev/null || give_up gpu "no GPU: panthor has made no render node"
	"$here/kmsg-follow" >"$records" 2>&1 </dev/null &
	echo "<6>panthorlab: recording" >"$kmsg" || give_up gpu "$kmsg cannot be written"
	wait_for 30 grep -q "panthorlab: recording" "$records" || give_up gpu "kmsg-follow does not record the kernel log"
	grep -n "panthorlab: recording" "$records" | tail -n 1 | cut -d : -f 1 >"$records.seen"
	result gpu pass
}

has_build_id() { # has_build_id FILE HEX
	case $(od -An -v -tx1 "$1" 2>/dev/null | tr -d ' \n') in
	*"$2"*) return 0 ;;
	esac
	return 1
}

identity() {
	has_build_id "$sys/kernel/notes" "$1" || give_up identity "another kernel than the one that was built runs"
	shift
	for module; do
		file=$sys/module/${module%%=*}/notes/.note.gnu.build-id
		[ ! -e "$sys/module/${module%%=*}" ] || has_build_id "$file" "${module#*=}" ||
			give_up identity "module ${module%%=*} is not the one that was built"
	done
	result identity pass
}

# Records of /dev/kmsg: PRIORITY,SEQUENCE,TIME,FLAGS;TEXT, priority being 8 * facility + level.
spoken() { awk -F, '/^[0-9]+,[0-9]+,/ && $1 % 8 <= 4 { n++ } END { print n + 0 }'; }
whole() { awk -F, '/^panthorlab-overrun/ { exit bad = 1 } /^[0-9]+,[0-9]+,/ { if (n && $2 != n + 1) exit bad = 1; n = $2 }
	END { exit bad || !n }'; }

workload() {
	name=$1 count=$2
	shift 2
	read -r seen <"$records.seen" || give_up "$name.kernel" "the kernel log is not recorded"
	"$here/iterate" "$@"
	status=$?
	[ "$status" = 0 ] && program=pass || program=fail
	result "$name.program" "$program"
	if ! wait_for 30 grep -q "panthorlab: end id=$name-$count\$" "$records"; then
		echo "panthorlab: $name: the last end marker is not in the kernel log"
		result "$name.kernel" fail
		return
	fi
	tail -n "+$((seen + 1))" "$records" >"$records.part"
	echo $((seen + $(wc -l <"$records.part"))) >"$records.seen"
	said=$(spoken <"$records.part")
	kernel=fail
	if ! whole <"$records.part"; then
		echo "panthorlab: $name: the kernel log has gaps"
	elif [ "$said" = 0 ]; then
		kernel=pass
	fi
	result "$name.kernel" "$kernel" "$said" records
}

command=$1
shift
case $command in
start | identity | workload) "$command" "$@" ;;
*) echo "panthorlab: what is $command?" >&2; exit 2 ;;
esac
