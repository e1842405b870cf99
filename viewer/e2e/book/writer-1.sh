# Holds chapter 1 until the test lets it go, and writes at it meanwhile.
case $1 in
2) desk lease chapter-1.md 300 ;;
3 | 5 | 7) echo "Line $1, by the first writer." >> shared/chapter-1.md ;;
esac
[ ! -e give-back ] || { rm give-back; desk release chapter-1.md; }
