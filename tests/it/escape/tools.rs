//! Section 8: every way in which tools replace a file is a change of the desk, and is published.

use super::{Case, cases};

/// What `plan.md` is after each tool.
const EDITED: &str = "two\n";

macro_rules! tools {
    ($($name:ident: $program:literal, $script:literal;)*) => { cases! { $(
        $name: Case {
            files: "",
            ada: "",
            bob: concat!("case $1 in 0) command -v ", $program, " >/dev/null || { echo no program; exit; }; cd shared; ", $script,
                         " >/dev/null 2>../said || cat ../said ;; esac"),
            check: |done| {
                if done.logs.contains("bob: no program") {
                    eprintln!("NOT TESTED: {} (not installed)", $program);
                    return;
                }
                assert_eq!(done.shared("plan.md").as_deref(), Some(EDITED), "{}", done.logs);
                assert_eq!(done.versions(), ["bob plan.md@2"], "{}", done.logs);
            },
        };
    )* } };
}

tools! {
    redirect: "sh", "{ sh -c 'echo two > plan.md'; }";
    tee: "tee", "{ echo two | tee plan.md; }";
    cp: "cp", "{ echo two > ../new; cp ../new plan.md; }";
    mv: "mv", "{ echo two > ../new; mv ../new plan.md; }";
    dd: "dd", "{ echo two | dd of=plan.md; }";
    sort: "sort", "{ printf 'two\\ntwo\\n' > plan.md; sort -u -o plan.md plan.md; }";
    sed: "sed", "sed -i s/one/two/ plan.md";
    perl: "perl", "perl -i -pe s/one/two/ plan.md";
    vim: "vim", "vim -u NONE -es -c s/one/two/ -c wq plan.md";
    node: "node", "node -e 'require(\"fs\").writeFileSync(\"plan.md\", \"two\\n\")'";
    patch: "patch", "printf -- '--- a/plan.md\\n+++ b/plan.md\\n@@ -1 +1 @@\\n-one\\n+two\\n' | patch -p1";
    python: "python3", "python3 -c 'import os; open(\"../new\", \"w\").write(\"two\\n\"); os.replace(\"../new\", \"plan.md\")'";
    git: "git", "{ git init -q --bare ../hub && git clone -q ../hub ../clone && cp plan.md ../clone && cd ../clone && git add -A && \
                  git -c user.name=b -c user.email=b@b commit -qm one && git push -q origin HEAD && sed -i s/one/two/ plan.md && \
                  git -c user.name=b -c user.email=b@b commit -qam two && git archive HEAD | tar -x -C ../shared; }";
    npm: "npm", "{ mkdir ../pack && echo '{\"name\":\"pack\",\"version\":\"1.0.0\",\"bin\":\"b.js\"}' > ../pack/package.json && \
                   printf '#!/usr/bin/env node\\nrequire(\"fs\").writeFileSync(\"shared/plan.md\", \"two\\\\n\")\\n' > ../pack/b.js && \
                   cd .. && npm pack --silent ./pack && npm install --silent --offline --no-audit --no-fund ./pack-1.0.0.tgz && \
                   node_modules/.bin/pack; }";
}

cases! {
    ed: Case {
        files: "",
        ada: "",
        // It keeps its buffer in /tmp whatever TMPDIR says, and seats have none: documented in docs/isolation.md.
        bob: "case $1 in 0) command -v ed >/dev/null || { echo no program; exit; }
              printf '1c\\ntwo\\n.\\nw\\nq\\n' | ed -s shared/plan.md 2>&1 ;; esac",
        check: |done| {
            if done.logs.contains("no program") {
                eprintln!("NOT TESTED: ed (not installed)");
                return;
            }
            assert!(done.logs.contains("Permission denied"), "{}", done.logs);
            assert_eq!(done.shared("plan.md").as_deref(), Some("one\n"));
            assert!(done.versions().is_empty());
        },
    };
}
