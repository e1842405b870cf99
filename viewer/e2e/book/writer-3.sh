# Does not ask: edits what another has leased, and is refused. Takes a folder, makes a program, removes a file.
case $1 in
1) mkdir -p shared/notes; echo 'ants' > shared/notes/words.md; printf '#!/bin/sh\nwc -w *.md\n' > shared/count.sh; chmod +x shared/count.sh ;;
4) desk lease 'notes/**' 300 ;;
5) echo 'and aphids' >> shared/chapter-1.md ;;
6) desk take chapter-1.md; rm shared/draft.md ;;
esac
[ "$1" -lt 7 ] || echo "word $1" >> shared/notes/words.md
