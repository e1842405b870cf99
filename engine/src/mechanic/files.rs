//! What becomes of the shared tree, as the world tells of it. It must not know who keeps the tree, or its contents.

use crate::event::Event;
use crate::id::SeatId;
use crate::input::{FileFact, FileNews};
use crate::scenario::{PublishMode, Spec};

/// The event of a fact.
pub(super) fn event(seat: SeatId, fact: FileFact) -> Event {
    let token = |name: &'static str, token: u64| Event::new(name).field("token", token as i64);
    let event = match fact.news {
        FileNews::Published {
            version,
            change,
            merged,
        } => Event::new("file.published")
            .field("version", version as i64)
            .field("change", change)
            .field("merged", merged),
        FileNews::Refused {
            code,
            reason,
            holder,
        } => {
            let mut event = Event::new("file.refused")
                .field("code", code)
                .field("reason", reason);
            event.other = holder;
            event
        }
        FileNews::Leased { token: number } => token("file.leased", number),
        FileNews::Released { token: number } => token("file.released", number),
        FileNews::Expired { token: number } => token("file.expired", number),
    };
    Event {
        text: Some(fact.path),
        ..event.seat(seat)
    }
}

/// The sharing of files in words.
pub(super) fn rules(spec: &Spec) -> Option<String> {
    let files = spec.files.as_ref()?;
    let when = match files.publish {
        PublishMode::OnAct => "What you changed there is published when you act",
        PublishMode::Explicit => "What you changed there is published when you ask for it",
    };
    Some(format!(
        "All share a tree of files. The folder shared in your working folder is your own copy of it: edit it with any tool. \
         {when}, and what others published then appears in yours. Two who changed the same lines collide: the later one is \
         refused, keeps what it wrote, and tries again on the newer version. A lease on a path keeps it for you alone, for \
         at most {} s.",
        files.lease_ms as f64 / 1000.0
    ))
}

#[cfg(test)]
mod tests {
    use crate::{FileFact, FileNews, InputBody, SeatId, SeatInput, TickInput, World, fixture};

    #[test]
    fn facts_are_told_as_events_and_counted() {
        let toml = format!(
            "{}\n[files]\nlease_ms = 1500\n[[metric]]\nname = \"conflicts\"\nevents = \"file.refused\"\nover = \"run\"\n",
            fixture::COMMONS
        );
        let scenario = fixture::load(&toml, fixture::MAP);
        let params = scenario.params(&[]).unwrap();
        let rules = scenario.rules_text(&params);
        assert!(rules.contains("All share a tree of files"), "{rules}");
        assert!(rules.contains("for at most 1.5 s"), "{rules}");
        let mut world = World::new(&scenario, &params, 1).unwrap();
        let before = world.hash();
        let fact = |seat, number, news| SeatInput {
            seat: SeatId(seat),
            seq: number as u32,
            body: InputBody::File(FileFact {
                number,
                path: "toc.md".into(),
                news,
            }),
        };
        let refused = FileNews::Refused {
            code: "leased".into(),
            reason: "ant-1 has the lease".into(),
            holder: Some(SeatId(0)),
        };
        let published = FileNews::Published {
            version: 2,
            change: "changed".into(),
            merged: true,
        };
        let input = TickInput {
            set: Vec::new(),
            tick: 1,
            seats: vec![
                fact(0, 1, FileNews::Leased { token: 7 }),
                fact(0, 3, published),
                fact(1, 2, refused),
            ],
        };
        let again: TickInput =
            serde_json::from_str(&serde_json::to_string(&input).unwrap()).unwrap();
        assert_eq!(again, input);
        let output = world.step(&input);
        let told: Vec<String> = output
            .events
            .iter()
            .filter(|event| event.name.starts_with("file."))
            .map(|event| serde_json::to_string(event).unwrap())
            .collect();
        assert_eq!(
            told,
            [
                r#"{"name":"file.leased","seat":0,"other":null,"at":null,"text":"toc.md","fields":{"token":7}}"#,
                r#"{"name":"file.published","seat":0,"other":null,"at":null,"text":"toc.md","fields":{"version":2,"change":"changed","merged":true}}"#,
                r#"{"name":"file.refused","seat":1,"other":0,"at":null,"text":"toc.md","fields":{"code":"leased","reason":"ant-1 has the lease"}}"#,
            ]
        );
        assert_eq!(output.metrics.last(), Some(&1.0));
        assert_ne!(world.hash(), before, "time has passed");
    }
}
