//! `import-sentinel` on the files of a deployment: what it writes, what `check-config` makes of that, and what it says.
//! No server runs here; files that real sentinels wrote are imported in `e2e`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

/// What comes of the program, with nothing of our environment.
fn redis_failover(arguments: &[&str]) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_redis-failover"));
    program.env_clear().args(arguments).output().expect("the program runs")
}

/// Files of a deployment, and where our configuration goes.
struct Files(TempDir);

const ONE: &str = "\
port 26379
requirepass \"not for us\"
sentinel monitor orders 10.0.0.1 6379 2
sentinel down-after-milliseconds orders 5000
sentinel failover-timeout orders 60000
sentinel auth-user orders failover
sentinel auth-pass orders \"pass # word\"
sentinel known-replica orders 10.0.0.2 6379
sentinel known-sentinel orders 10.0.1.2 26379 abc
sentinel known-sentinel orders 10.0.1.3 26379 def
sentinel monitor carts redis-1.example 6380 1
sentinel parallel-syncs carts 2
sentinel down-after-milliseconds carts 100
";

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).expect("it is there")
    }

    /// Imports a sentinel's file with this text.
    fn import(&self, text: &str, arguments: &[&str]) -> Output {
        let file = self.path("sentinel.conf");
        fs::write(&file, text).expect("it is written");
        let file = file.display().to_string();
        redis_failover(&[&["import-sentinel", &file], arguments].concat())
    }

    /// The same, into `monitor.toml`.
    fn write(&self, text: &str, arguments: &[&str]) -> Output {
        let output = self.path("monitor.toml").display().to_string();
        self.import(text, &[&["--output", &output], arguments].concat())
    }

    fn check(&self) -> Output {
        let file = self.path("monitor.toml").display().to_string();
        redis_failover(&["check-config", "--json", "--config", &file])
    }

    fn checked(&self) -> Value {
        let output = self.check();
        assert_code(&output, 0);
        serde_json::from_slice(&output.stdout).expect("JSON")
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn assert_code(output: &Output, code: i32) {
    assert_eq!(output.status.code(), Some(code), "{}{}", text(&output.stdout), text(&output.stderr));
}

fn mode(path: &Path) -> u32 {
    path.metadata().expect("it is there").permissions().mode() & 0o777
}

#[test]
fn what_it_writes_is_a_configuration_that_says_the_same() {
    let files = Files::new();
    let output = files.write(ONE, &["--zkhosts", "zk1,zk2:2182", "--root", "/apps/redis"]);
    assert_code(&output, 0);
    let config = files.checked();
    let (orders, carts) = (&config["groups"][0], &config["groups"][1]);
    assert_eq!((&orders["name"], &orders["path"]), (&"orders".into(), &"/apps/redis/orders".into()));
    assert_eq!(orders["redishosts"], serde_json::json!(["10.0.0.1:6379", "10.0.0.2:6379"]));
    assert_eq!(
        (&orders["policy"]["quorum"], &carts["policy"]["quorum"]),
        (&"majority".into(), &"majority".into())
    );
    assert_eq!(orders["policy"]["down_after"], "5s");
    assert_eq!((&orders["redis_username"], &orders["redis_password"]), (&"failover".into(), &true.into()));
    assert_eq!(carts["redishosts"], serde_json::json!(["redis-1.example:6380"]));
    assert_eq!((&carts["policy"]["parallel_syncs"], &carts["redis_password"]), (&2.into(), &false.into()));
    assert_eq!(
        (&carts["policy"]["down_after"], &carts["policy"]["probe_interval"]),
        (&"100ms".into(), &"20ms".into())
    );
    assert_eq!(
        (&carts["zkhosts"], &config["warnings"]),
        (&"zk1:2181,zk2:2182".into(), &serde_json::json!([]))
    );
    assert_eq!(files.read("orders.password"), "pass # word\n");
    assert_eq!(mode(&files.path("orders.password")), 0o600);

    let all = [text(&output.stdout), text(&output.stderr), files.read("monitor.toml")].concat();
    assert!(!all.contains("pass # word") && !all.contains("not for us"), "{all}");
    for said in [
        "to do: orders: our monitors' user needs more rights",
        "to do: carts: parallel-syncs 2 counted all replicas",
        "without counterpart: SENTINEL:5 sentinel failover-timeout: how long a failover may take",
        "without counterpart: SENTINEL:9,10 sentinel known-sentinel: ",
        "without counterpart: SENTINEL:2 requirepass: ",
    ] {
        let said = said.replace("SENTINEL", &files.path("sentinel.conf").display().to_string());
        assert!(text(&output.stderr).contains(&said), "{}without {said}", text(&output.stderr));
    }
    let wrote = text(&output.stdout);
    assert!(wrote.starts_with("done: wrote ") && wrote.contains("orders.password"), "{wrote}");
}

#[test]
fn a_quorum_that_is_no_majority_and_a_time_that_is_too_short_are_said() {
    let files = Files::new();
    let output = files.write(
        "sentinel monitor m a 1 3\nsentinel known-sentinel m b 1\nsentinel known-sentinel m c 1\n\
         sentinel down-after-milliseconds m 7\n",
        &["-z", "h"],
    );
    assert_code(&output, 0);
    let policy = &files.checked()["groups"][0]["policy"];
    assert_eq!((&policy["quorum"], &policy["down_after"]), (&3.into(), &"50ms".into()));
    let said = text(&output.stderr);
    assert!(
        said.contains("m: quorum 3 of 3 sentinels") && said.contains("m: down-after-milliseconds 7"),
        "{said}"
    );
}

#[test]
fn where_sentinel_counted_on_its_default_that_is_kept_and_said() {
    let files = Files::new();
    let output = files.write("sentinel monitor m a 1 1\n", &["-z", "h"]);
    assert_code(&output, 0);
    assert_eq!(files.checked()["groups"][0]["policy"]["down_after"], "30s");
    assert!(text(&output.stderr).contains("`down_after` is 30s"), "{}", text(&output.stderr));
}

#[test]
fn zookeeper_is_to_be_filled_in_where_nobody_said_where_it_is() {
    let files = Files::new();
    let output = files.write("sentinel monitor m a 1 1\n", &[]);
    assert_code(&output, 0);
    assert!(text(&output.stderr).contains("to do: fill in `zkhosts`"), "{}", text(&output.stderr));
    let checked = files.check();
    assert_code(&checked, 2);
    let why = text(&checked.stderr);
    assert!(why.contains("monitor.toml: group /redis/m: `zkhosts` is missing"), "{why}");
    let filled = files.read("monitor.toml").replace("# zkhosts", "zkhosts");
    fs::write(files.path("monitor.toml"), filled).expect("it is written");
    assert_eq!(files.checked()["groups"][0]["zkhosts"], "zk1:2181,zk2:2181,zk3:2181");
}

#[test]
fn without_an_output_passwords_are_left_out_and_that_is_said() {
    let files = Files::new();
    let output = files.import(ONE, &["-z", "h"]);
    assert_code(&output, 0);
    let said = text(&output.stderr);
    assert!(said.contains("orders: its password is left out") && !said.contains("pass # word"), "{said}");
    fs::write(files.path("monitor.toml"), &output.stdout).expect("it is written");
    assert_eq!(files.checked()["groups"][0]["redis_password"], false);
    assert!(!text(&output.stdout).contains("pass # word"));
    assert!(!files.path("orders.password").exists());
    let filled = text(&output.stdout).replace("# redis_", "redis_");
    fs::write(files.path("monitor.toml"), filled).expect("it is written");
    fs::write(files.path("orders.password"), "x\n").expect("it is written");
    assert_eq!(files.checked()["groups"][0]["redis_password"], true, "the lines to fill in are right");
}

#[test]
fn what_is_there_is_replaced_only_after_a_yes() {
    let files = Files::new();
    fs::write(files.path("orders.password"), "mine\n").expect("it is written");
    fs::set_permissions(files.path("orders.password"), fs::Permissions::from_mode(0o644))
        .expect("it is ours");
    let refused = files.write(ONE, &["-z", "h", "--json"]);
    assert_code(&refused, 1);
    assert!(text(&refused.stdout).contains(r#""kind":"not_confirmed""#), "{}", text(&refused.stdout));
    assert_eq!(files.read("orders.password"), "mine\n");
    assert!(!files.path("monitor.toml").exists(), "nothing was done");
    assert_code(&files.write(ONE, &["-z", "h", "--yes"]), 0);
    assert_eq!(files.read("orders.password"), "pass # word\n");
    assert_eq!(mode(&files.path("orders.password")), 0o600);
    assert_code(&files.write(ONE, &["-z", "h"]), 1);
    let names = fs::read_dir(files.0.path()).expect("it can be listed").count();
    assert_eq!(names, 3, "nothing else is left there");
}

#[test]
fn passwords_of_groups_whose_names_differ_in_marks_are_in_different_files() {
    let files = Files::new();
    let text = "sentinel monitor a:b h 1 1\nsentinel auth-pass a:b 1\nsentinel monitor a_b h 2 1\n\
                sentinel auth-pass a_b 2\n";
    assert_code(&files.write(text, &["-z", "h"]), 0);
    assert_eq!((&*files.read("a_b.password"), &*files.read("a_b-2.password")), ("1\n", "2\n"));
    files.checked();
}

#[test]
fn with_json_all_of_it_is_one_object() {
    let files = Files::new();
    let output = files.import(ONE, &["-z", "h", "--json"]);
    assert_code(&output, 0);
    assert!(output.stderr.is_empty(), "{}", text(&output.stderr));
    let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((&told["done"], &told["groups"][1]["path"]), (&false.into(), &"/redis/carts".into()));
    let unmatched = told["remarks"]["without_counterpart"].as_array().expect("an array");
    let sentinels =
        unmatched.iter().find(|it| it["directive"] == "sentinel known-sentinel").expect("it is listed");
    assert_eq!(sentinels["places"][1]["line"], 10);
    assert!(sentinels["did"].is_string() && sentinels["here"].is_string(), "{sentinels}");
    assert!(told["configuration"].as_str().is_some_and(|it| it.contains("[[group]]")), "{told}");
    assert!(!text(&output.stdout).contains("pass # word"));
    let written: Value = serde_json::from_slice(&files.write(ONE, &["--json"]).stdout).expect("JSON");
    assert_eq!((&written["done"], written["written"].as_array().map(Vec::len)), (&true.into(), Some(2)));
}

#[test]
fn what_is_no_deployment_is_refused() {
    let files = Files::new();
    for (conf, code, said) in [
        ("port 6379\n", 2, "no master is monitored there"),
        ("sentinel monitor a/../b h 1 1\n", 2, "can be no group"),
        ("sentinel monitor m h 1\n", 2, "sentinel.conf:1: `sentinel monitor`: it has too few values"),
    ] {
        let output = files.write(conf, &["-z", "h"]);
        assert_code(&output, code);
        assert!(text(&output.stderr).contains(said), "{}", text(&output.stderr));
        assert!(!files.path("monitor.toml").exists());
    }
    let secret = "sentinel monitor configuration h 1 1\nsentinel auth-pass configuration x\n";
    let output = files.path("configuration.password").display().to_string();
    let refused = files.import(secret, &["--output", &output]);
    assert_code(&refused, 2);
    assert!(!files.path("configuration.password").exists());
}
