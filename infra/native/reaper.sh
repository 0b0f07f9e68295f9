#!/bin/sh
# Outlives the launcher by a few seconds: when the launcher is gone (its end of our stdin closes, also after kill -9), ends every
# process the launcher had told us about, then takes its lock away. Lines: "+ PID", "- PID", "bye". Arguments: the lock
# file, the launcher, how long processes may take to end politely (tenths of a second).
trap '' INT HUP TERM
pids=' '
while read -r op pid; do
  case $op in
  +) pids="$pids$pid " ;;
  -) case $pids in *" $pid "*) pids="${pids%% "$pid" *} ${pids#* "$pid" }" ;; esac ;;
  bye) exit 0 ;;
  esac
done

signal() {
  for pid in $pids; do
    # Each child leads a process group of its own.
    kill "-$1" "-$pid" 2>/dev/null
  done
}
alive() {
  for pid in $pids; do
    kill -0 "-$pid" 2>/dev/null && return 0
  done
  return 1
}

signal CONT
signal TERM
tries=0
while alive && [ "$tries" -lt "$3" ]; do
  sleep 0.1
  tries=$((tries + 1))
done
signal KILL
grep -q "\"pid\":$2," "$1" 2>/dev/null && rm -f "$1"
exit 0
