# Wants chapter 1 too, and waits for it while it plays on.
case $1 in
4) (desk lease chapter-1.md 300 --wait 300 > /dev/null 2>&1; touch has-it) & ;;
6) sed -i '1s/.*/# The book, by many hands/' shared/toc.md ;;
esac
[ ! -e has-it ] || { rm has-it; echo 'A line by the second writer.' >> shared/chapter-1.md; }
