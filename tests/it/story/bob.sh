# Bob uses sed -i.
case $1 in
0) sed -i 's/^five.*/five, by bob/' shared/poem.md ;;
4)
    sed -i 's/^three.*/three, by bob/' shared/poem.md
    # Ada is quicker: her third version of the poem stands before bob acts.
    until desk log poem.md | grep -q 'poem.md@6 by ada'; do sleep 0.02; done
    ;;
5)
    cat results.json
    desk show poem.md@6 | grep three
    desk take poem.md
    sed -i 's/^three.*/three, by ada and bob/' shared/poem.md
    ;;
esac
