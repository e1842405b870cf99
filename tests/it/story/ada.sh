# Ada writes a new file and renames it over the old one, as editors do.
edit() {
    sed "$1" shared/poem.md > shared/.poem.new && mv shared/.poem.new shared/poem.md
}
case $1 in
0) edit 's/^one.*/one, by ada/' ;;
2) edit 's/^two.*/two, by ada/' ;;
3)
    cat results.json
    desk status
    # Cy gives it back in this tick.
    until desk leases | grep -q 'no leases'; do sleep 0.02; done
    ;;
4) edit 's/^three.*/three, by ada/' ;;
esac
