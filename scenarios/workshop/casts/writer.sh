#!/bin/sh
# A writer of `workshop` in POSIX shell: writer.sh HOW [lease]. HOW says how it edits: `sed` by sed -i (which puts a new
# file in the old one's place), `redirect` by > and >> (which write into the old one). What it does and when is said in
# writer.py.
how=$1 lease=${2:-}
toc=shared/toc.md draft=0

write_chapter() {
  page=shared/chapters/$seat.md before=writer-$((n - 1))
  [ "$n" -gt 1 ] || before=preface
  [ -e "$page" ] || printf '# Chapter %s\n\nBefore it comes [%s](%s.md).\n' "$n" "$before" "$before" >"$page"
  section=1
  while [ $section -le $draft ]; do
    grep -qx "## Section $section" "$page" ||
      printf '\n## Section %s\n\nWritten by %s in a shell.\n' $section "$seat" >>"$page"
    section=$((section + 1))
  done
}

# Each row of the table of contents: mine in place of my old one, or above the end of my part.
rows() {
  known=$1
  while IFS= read -r row; do
    case $row in
      *"(chapters/$seat.md)"*) row=$mine ;;
      "<!-- end of part $part -->") [ "$known" ] || printf '%s\n' "$mine" ;;
    esac
    printf '%s\n' "$row"
  done
}

enter_in_toc() {
  mine="- [Chapter $n by $seat, draft $draft](chapters/$seat.md)"
  ! grep -qxF -e "$mine" "$toc" || return 0
  # A lease brings the newest version onto the desk.
  [ -z "$lease" ] || desk lease toc.md --wait 10 >/dev/null || return 0
  known=$(grep -F "(chapters/$seat.md)" "$toc")
  if [ "$how" = sed ] && [ "$known" ]; then
    sed -i "s|^.*(chapters/$seat\.md).*\$|$mine|" "$toc"
  elif [ "$how" = sed ]; then
    sed -i "s|^<!-- end of part $part -->\$|$mine\\
&|" "$toc"
  else
    rows "$known" <"$toc" >toc.new
    cat toc.new >"$toc"
  fi
  if [ "$lease" ]; then
    desk publish >/dev/null
    desk release toc.md >/dev/null
  fi
}

while IFS= read -r line; do
  case $line in
    '{"type":"hello"'*)
      seat=${line#*'"seat":"'} seat=${seat%%'"'*} n=${seat##*-}
      last=${line#*'"ticks":'} last=${last%%[!0-9]*}
      part=two
      [ $((n % 2)) -eq 0 ] || part=one
      echo '{"type":"ready","name":"writer.sh"}' ;;
    '{"type":"observe"'*)
      tick=${line#*'"tick":'} tick=${tick%%[!0-9]*} thought=''
      case $line in
        *'"action":"publish","ok":false'*)
          desk take toc.md >/dev/null
          thought=',"thought":"mine was refused: again, on what stands there now"' ;;
        *)
          if [ "$tick" -le $((last / 2)) ] && [ "$tick" -ge $((6 * draft)) ] && { [ $((n % 4)) -ne 3 ] || [ "$tick" -ge 3 ]; }; then
            draft=$((draft + 1))
          fi ;;
      esac
      if [ $draft -gt 0 ]; then
        write_chapter
        [ "$tick" -eq 0 ] || enter_in_toc
      fi
      echo "{\"type\":\"act\",\"tick\":$tick$thought}" ;;
    '{"type":"end"'*) exit 0 ;;
  esac
done
