# Cy is a shell with redirects, and wants the poem alone for a while.
case $1 in
1) desk lease poem.md 30 ;;
2) echo 'six, by cy' >> shared/poem.md ;;
3) desk release poem.md ;;
esac
