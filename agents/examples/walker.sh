#!/bin/sh
# A whole agent in POSIX shell: walks in circles. The host writes compact JSON with "type" first, so patterns suffice.
n=0
while IFS= read -r line; do
  case $line in
    '{"type":"hello"'*) echo '{"type":"ready","name":"walker.sh"}' ;;
    '{"type":"observe"'*)
      tick=${line#*'"tick":'} tick=${tick%%[!0-9]*} n=$((n + 1))
      case $((n / 4 % 4)) in 0) dir=north ;; 1) dir=east ;; 2) dir=south ;; *) dir=west ;; esac
      echo "{\"type\":\"act\",\"tick\":$tick,\"actions\":[{\"name\":\"move\",\"args\":{\"dir\":\"$dir\"}}]}" ;;
    '{"type":"end"'*) exit 0 ;;
  esac
done
