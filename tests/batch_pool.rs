//! Workers that crash, hang and cannot begin: each costs the input that it worked on, and no other.
#![cfg(unix)]

use std::path::Path;
use std::time::Duration;

use percept::ErrorKind;
use percept::batch::journal::Identity;
use percept::batch::pool::{Item, Outcome, Pool, WorkerCommand};

/// A worker made of a shell: what it does with an input stands in the input's name.
const SCRIPT: &str = r#"
echo '{"ready":true}'
while read -r line; do
    echo "$line" | grep -o '"id":[0-9]*,"path":"[^"]*"' | while IFS= read -r request; do
        case "$request" in
            *crash*) kill -SEGV $$; sleep 10 ;;
            *hang*) sleep 1000 ;;
            *memory*) echo 'memory allocation of 99 bytes failed' >&2; kill -ABRT $$; sleep 10 ;;
            *once*) if [ ! -e "$0" ]; then touch "$0"; kill -KILL $$; sleep 10; fi ;;
        esac
        id=$(echo "$request" | sed 's/"id":\([0-9]*\),.*/\1/')
        echo "{\"id\":$id,\"seconds\":1.5,\"row\":{\"n\":$id}}"
    done
done
"#;

fn command(folder: &Path, script: &str, time_limit: Option<Duration>) -> WorkerCommand {
    let mark = folder.join("mark").into_os_string();
    WorkerCommand {
        program: "sh".into(),
        args: vec!["-c".into(), script.into(), mark],
        threads: 1,
        time_limit,
    }
}

/// What becomes of groups of inputs, by their numbers.
fn outcomes(groups: &[&[&str]], time_limit: Option<Duration>) -> Vec<(String, Option<(ErrorKind, String)>)> {
    let folder = tempfile::tempdir().unwrap();
    let mut pool = Pool::new(command(folder.path(), SCRIPT, time_limit), 2).unwrap();
    let mut given = 0;
    let mut all = Vec::new();
    let mut groups = groups.iter();
    let mut next = groups.next();
    while next.is_some() || pool.in_flight() > 0 {
        while let Some(group) = next.filter(|_| pool.has_room()) {
            let item = |(i, name): (usize, &&str)| Item::new(given + i, name.into(), Identity::None);
            pool.give(group.iter().enumerate().map(item).collect());
            given += group.len();
            next = groups.next();
        }
        for outcome in pool.next(Duration::from_millis(20)).unwrap() {
            all.push(match outcome {
                Outcome::Answered(item, answer) => {
                    assert_eq!(answer.row.unwrap().get(), format!("{{\"n\":{}}}", item.index));
                    (item.index, item.path, None)
                }
                Outcome::Lost(item, error) => (item.index, item.path, Some((error.kind, error.message))),
            });
        }
    }
    all.sort_by_key(|(index, ..)| *index);
    assert!(all.iter().enumerate().all(|(i, (index, ..))| i == *index), "{all:?}");
    all.into_iter().map(|(_, path, error)| (path.to_str().unwrap().to_string(), error)).collect()
}

#[test]
fn an_input_that_takes_its_worker_with_it_costs_nothing_but_itself() {
    let groups: [&[&str]; 4] = [&["a", "b"], &["c", "crash", "d"], &["e"], &["memory", "f", "once"]];
    for (path, error) in outcomes(&groups, None) {
        match path.as_str() {
            "crash" => {
                let (kind, message) = error.unwrap();
                assert!(kind == ErrorKind::Internal && message.contains("signal: 11"), "{message}");
            }
            "memory" => {
                let (kind, message) = error.unwrap();
                assert!(kind == ErrorKind::Limit && message.contains("--memory-limit"), "{message}");
            }
            // A worker that somebody else has stopped.
            _ => assert_eq!(error, None, "{path}"),
        }
    }
}

#[test]
fn an_input_that_never_ends_is_given_up() {
    let groups: [&[&str]; 3] = [&["a", "hang", "b"], &["c"], &["d"]];
    for (path, error) in outcomes(&groups, Some(Duration::from_secs(2))) {
        match path.as_str() {
            "hang" => {
                let (kind, message) = error.unwrap();
                assert!(kind == ErrorKind::Limit && message.contains("longer than 2 s"), "{message}");
            }
            _ => assert_eq!(error, None, "{path}"),
        }
    }
}

#[test]
fn workers_that_cannot_begin_say_why() {
    let folder = tempfile::tempdir().unwrap();
    let script = "echo 'percept: error: no such model' >&2; exit 2";
    let mut pool = Pool::new(command(folder.path(), script, None), 2).unwrap();
    pool.give(vec![Item::new(0, "a".into(), Identity::None)]);
    let error = loop {
        if let Err(error) = pool.next(Duration::from_millis(20)) {
            break error;
        }
    };
    assert_eq!(error.message.trim(), "no such model");
    let missing = WorkerCommand { program: "/no/such".into(), ..command(folder.path(), script, None) };
    assert_eq!(Pool::new(missing, 1).err().unwrap().kind, ErrorKind::NotFound);
}
