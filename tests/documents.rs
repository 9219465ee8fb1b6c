//! What the documents name is there.

use std::collections::BTreeSet;
use std::path::Path;

fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All sources below a folder, one after the other.
fn sources(folder: &Path, into: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("node_modules") {
            sources(&path, into);
        } else if ["rs", "mjs"].iter().any(|ending| path.extension().is_some_and(|is| is == *ending)) {
            *into += &std::fs::read_to_string(path).unwrap();
        }
    }
}

/// What stands in the last column of a table in code: `` `a::test` ``.
fn named_in_last_column(table: &str) -> Vec<&str> {
    let rows = table.lines().filter(|line| line.starts_with("| ")).skip(1);
    let cells = rows.map(|row| row.trim_end_matches('|').rsplit('|').next().unwrap());
    cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect()
}

#[test]
fn each_promise_names_tests_that_exist() {
    let mut all = String::new();
    for folder in ["src", "tests"] {
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut all);
    }
    let table = read("docs/reliability.md");
    let rows = table.lines().filter(|line| line.starts_with("| ")).skip(1).count();
    assert!(rows > 20 && named_in_last_column(&table).len() >= rows, "a row names no test");
    for test in named_in_last_column(&table) {
        let function = test.rsplit("::").next().unwrap();
        let is_there =
            all.contains(&format!("fn {function}(")) || all.contains(&format!("test('{function}'"));
        assert!(is_there, "docs/reliability.md names `{test}`, and there is no such test");
    }
}

#[test]
fn the_table_of_dependencies_has_all_of_them_and_no_others() {
    let manifest: toml::Table = read("Cargo.toml").parse().unwrap();
    let mut due = BTreeSet::new();
    let mut take = |dependencies: &toml::Table| {
        for (name, value) in dependencies {
            let package = value.get("package").and_then(|package| package.as_str());
            due.insert(package.unwrap_or(name).to_string());
        }
    };
    take(manifest["dependencies"].as_table().unwrap());
    for target in manifest["target"].as_table().unwrap().values() {
        take(target["dependencies"].as_table().unwrap());
    }
    let table = read("docs/dependencies.md");
    let rows = table.lines().filter(|line| line.starts_with("| ")).skip(1);
    let crates = rows.flat_map(|row| row[2..].split('|').next().unwrap().split(", "));
    let listed: BTreeSet<String> = crates.map(|name| name.trim().to_string()).collect();
    assert_eq!(listed, due);
}
