#!/bin/sh
# A harvester of `commons` in POSIX shell: forage.sh REMAIN. It eats the nearest apple that leaves at least REMAIN others
# within distance 2 (0: any apple). It starts no other program: the host writes compact JSON with "type" first, map rows
# contain no quotes or brackets, and quotes inside texts are escaped, so the shell's own patterns find every part.
remain=${1:-3}
heading=0 n=0

# at X Y: sets $glyph to what stands there in the view, `?` beyond it.
at() {
  glyph='?' left=$rows row=$2
  [ "$1" -ge 0 ] && [ "$row" -ge 0 ] || return 0
  while [ "$row" -gt 0 ] && [ -n "$left" ]; do left=${left#* } row=$((row - 1)); done
  left=${left%% *} row=$1
  while [ "$row" -gt 0 ] && [ -n "$left" ]; do left=${left#?} row=$((row - 1)); done
  [ -n "$left" ] && glyph=${left%"${left#?}"}
}

# enter X Y: whether to step there.
enter() {
  at "$1" "$2"
  case $glyph in
    .) return 0 ;;
    A) case $good in *" $1,$2 "*) return 0 ;; esac ;;
  esac
  return 1
}

# look: sets the own place mx my, the list of apples, and the good ones; ax ay is the nearest good one.
look() {
  apples='' good=' ' ax='' y=0 best=99
  for row in $rows; do
    case $row in *@*) mx=${row%%@*} mx=${#mx} my=$y ;; esac
    x=0
    while :; do
      case $row in *A*) ;; *) break ;; esac
      before=${row%%A*} x=$((x + ${#before})) apples="$apples $x,$y" row=${row#*A}
      x=$((x + 1))
    done
    y=$((y + 1))
  done
  for apple in $apples; do
    x=${apple%,*} y=${apple#*,} near=0
    for other in $apples; do
      dx=$((x - ${other%,*})) dy=$((y - ${other#*,}))
      [ $((dx * dx + dy * dy)) -le 4 ] && near=$((near + 1))
    done
    # An apple is within distance 2 of itself.
    [ "$near" -gt "$remain" ] || continue
    good="$good$apple "
    dx=$((x - mx)) dy=$((y - my)) far=$((${dx#-} + ${dy#-}))
    [ "$far" -lt "$best" ] && best=$far ax=$x ay=$y
  done
}

# toward: sets $dir to a step nearer to ax ay, along the longer side first; fails when both are shut.
toward() {
  dx=$((ax - mx)) dy=$((ay - my)) sides='x y'
  [ "${dx#-}" -lt "${dy#-}" ] && sides='y x'
  for side in $sides; do
    if [ $side = x ] && [ $dx -ne 0 ]; then
      step=$((dx > 0 ? 1 : -1)) dir=east
      [ $step -lt 0 ] && dir=west
      enter $((mx + step)) "$my" && return 0
    elif [ $side = y ] && [ $dy -ne 0 ]; then
      step=$((dy > 0 ? 1 : -1)) dir=south
      [ $step -lt 0 ] && dir=north
      enter "$mx" $((my + step)) && return 0
    fi
  done
  return 1
}

# wander: sets $dir straight on, now and then to the side, round whatever is in the way; fails when all is shut.
wander() {
  [ $((n % 13)) -eq $((seat % 13)) ] && heading=$(((heading + 1) % 4))
  for turn in 0 1 3 2; do
    case $(((heading + turn) % 4)) in
      0) dir=north x=$mx y=$((my - 1)) ;;
      1) dir=east x=$((mx + 1)) y=$my ;;
      2) dir=south x=$mx y=$((my + 1)) ;;
      3) dir=west x=$((mx - 1)) y=$my ;;
    esac
    enter $x $y && heading=$(((heading + turn) % 4)) && return 0
  done
  return 1
}

while IFS= read -r line; do
  case $line in
    '{"type":"hello"'*)
      # The number at the end of the seat's name makes each wander its own way; 0 if it has none.
      seat=${line#*'"seat":"'} seat=${seat%%'"'*} seat=${seat##*[!0-9]} seat=${seat:-0} heading=$((seat % 4))
      echo '{"type":"ready","name":"forage.sh"}' ;;
    '{"type":"observe"'*)
      n=$((n + 1)) say='' thought=''
      tick=${line#*'"tick":'} tick=${tick%%[!0-9]*}
      rows=${line#*'"rows":['} rows=${rows%%]*}
      # '"..A","..."' becomes '..A ...'
      rows=${rows#'"'} rows=${rows%'"'} list=''
      while :; do
        case $rows in
          *'","'*) list="$list${rows%%'","'*} " rows=${rows#*'","'} ;;
          *) rows="$list$rows" && break ;;
        esac
      done
      look
      action='{"name":"wait","args":{}}'
      if [ -n "$ax" ] && toward || wander; then
        action="{\"name\":\"move\",\"args\":{\"dir\":\"$dir\"}}"
      fi
      if [ -n "$ax" ]; then
        [ $((n % 10)) -eq 0 ] && thought=",\"thought\":\"an apple I may eat is $best steps away\""
      elif [ -n "$apples" ] && [ $((n % 40)) -eq $((seat % 40)) ]; then
        say=',"say":"these few apples need rest"'
      fi
      echo "{\"type\":\"act\",\"tick\":$tick,\"actions\":[$action]$say$thought}" ;;
    '{"type":"end"'*) exit 0 ;;
  esac
done
