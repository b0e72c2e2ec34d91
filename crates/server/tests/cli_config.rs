//! Configuration files, by what `check-config` makes of them. No server runs here.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use redis_failover_lab::Authority;
use tempfile::TempDir;

/// A directory with a configuration.
struct Files(TempDir);

impl Files {
    fn new(main: &str) -> Self {
        let files = Self(tempfile::tempdir().expect("a directory"));
        files.write("monitor.toml", main);
        files
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        fs::create_dir_all(path.parent().expect("it is in the directory")).expect("a directory");
        fs::write(&path, text).expect("it is written");
        path
    }

    fn check_with(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_redis-failover"));
        command.env_clear().envs(environment.iter().copied());
        command.arg("check-config").arg("--config").arg(self.0.path().join("monitor.toml")).args(arguments);
        command.output().expect("the program runs")
    }

    /// What is shown of a configuration that is right.
    fn shown(&self, arguments: &[&str]) -> String {
        let output = self.check_with(arguments, &[]);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{error}");
        String::from_utf8(output.stdout).expect("text")
    }

    /// Asserts the exit code and that standard error has all `texts`.
    fn assert_fails(&self, code: i32, texts: &[&str]) {
        assert_failed(&self.check_with(&[], &[]), code, texts);
    }
}

fn assert_failed(output: &Output, code: i32, texts: &[&str]) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{error}");
    assert!(output.stdout.is_empty());
    for text in texts {
        assert!(error.contains(text), "it says:\n{error}\nwithout `{text}`");
    }
}

const TWO: &str = r#"
id = "m1"
listen = "127.0.0.1:8080"

[defaults]
zkhosts = "zk1,zk2:2182/chroot"
down_after = "500ms"
quorum = 2

[[group]]
path = "/redis/orders"
redishosts = ["a:6379", "[::1]:6379"]

[[group]]
path = "/redis/sessions"
name = "web-sessions"
redishosts = ["c:6379"]
down_after = "3s"
"#;

#[test]
fn groups_take_what_they_do_not_say_from_the_defaults() {
    let text = Files::new(TWO).shown(&[]);
    let parts: Vec<&str> = text.split("\n\n").collect();
    let [process, orders, sessions] = parts.as_slice() else { panic!("{text}") };
    assert!(process.contains("m1") && process.contains("127.0.0.1:8080"), "{text}");
    assert!(orders.contains("orders at /redis/orders") && orders.contains("a:6379, [::1]:6379"), "{text}");
    assert!(orders.contains("500ms") && orders.contains("quorum           2"), "{text}");
    assert!(sessions.contains("web-sessions at /redis/sessions") && sessions.contains("3s"), "{text}");
    assert!(sessions.contains("zk1:2181,zk2:2182/chroot"), "{text}");
}

#[test]
fn id_and_listen_of_the_command_line_come_first_and_nothing_else_may_stand_beside_a_file() {
    let files = Files::new(TWO);
    let text = files.shown(&["--id", "m2", "--listen", "127.0.0.1:9"]);
    assert!(text.contains("m2") && text.contains("127.0.0.1:9\n") && !text.contains("m1"), "{text}");
    for (arguments, named) in [
        (["-z", "zk"], "--zkhosts"),
        (["-p", "/a"], "--path"),
        (["-r", "a:1"], "--redishosts"),
        (["-s", "5"], "--sleeptime"),
        (["--quorum", "2"], "--quorum"),
        (["--down-after", "1s"], "--down-after"),
        (["--probe-interval", "100ms"], "--probe-interval"),
        (["--session-timeout", "6s"], "--session-timeout"),
        (["--redis-username", "u"], "--redis-username"),
        (["--redis-password-file", "f"], "--redis-password-file"),
        (["--misconf-is-unusable", "--id=x"], "--misconf-is-unusable"),
        (["--refusal-waits", "--id=x"], "--refusal-waits"),
        (["--journal", "f"], "--journal"),
        (["--embedded", "--id=x"], "--embedded"),
        (["--state-file", "f"], "--state-file"),
    ] {
        assert_failed(&files.check_with(&arguments, &[]), 2, &[named, "contradicts --config", "in the file"]);
    }
    for variable in ["REDIS_FAILOVER_REDISHOSTS", "REDIS_FAILOVER_REDIS_PASSWORD"] {
        let output = files.check_with(&[], &[(variable, "a:1")]);
        assert_failed(&output, 2, &[variable, "contradicts --config"]);
        assert!(!String::from_utf8_lossy(&output.stderr).contains("a:1"));
    }
}

#[test]
fn files_in_conf_d_are_read_by_name_and_hold_groups_only() {
    let files = Files::new(TWO);
    let group = |path: &str, node: &str| format!("[[group]]\npath = \"{path}\"\nredishosts = [\"{node}\"]\n");
    files.write("conf.d/20-b.toml", &group("/b", "h:2"));
    files.write("conf.d/10-a.toml", &group("/a", "h:1"));
    files.write("conf.d/a.toml~", "not toml");
    files.write("conf.d/.hidden.toml", "not toml");
    let text = files.shown(&[]);
    let order: Vec<_> = ["/redis/sessions", "at /a", "at /b"].iter().map(|part| text.find(part)).collect();
    assert!(order.is_sorted() && order.iter().all(Option::is_some), "{text}");
    assert!(text.contains("500ms"), "the defaults count for them: {text}");

    files.write("conf.d/30-c.toml", "\nid = \"x\"\n");
    files.assert_fails(2, &["conf.d/30-c.toml:2: ", "[[group]] only"]);
    files.write("conf.d/30-c.toml", &group("/a", "h:3"));
    files.assert_fails(2, &["group /a in", "conf.d/30-c.toml", "is the same as", "conf.d/10-a.toml"]);
}

#[test]
fn an_unknown_or_misplaced_key_is_refused_with_file_line_and_the_nearest_known_one() {
    for (text, line, told) in [
        ("lisen = \"\"", 1, "did you mean `listen`?"),
        ("[default]\n", 1, "did you mean `defaults`?"),
        ("[[groups]]\n", 1, "did you mean `group`?"),
        ("[defaults]\n\ndown_afer = \"1s\"", 3, "did you mean `down_after`?"),
        ("[[group]]\npath = \"/a\"\nredis_hosts = []", 3, "did you mean `redishosts`?"),
        ("[[group]]\nwhatsoever = 1", 2, "there are: path, redishosts, name, journal, zkhosts"),
        ("[defaults]\npath = \"/a\"", 2, "it belongs in a [[group]]"),
        ("[defaults]\njournal = \"j\"", 2, "it belongs in a [[group]]"),
        ("[[group]]\njurnal = \"j\"", 2, "did you mean `journal`?"),
        ("[[group]]\nid = \"m1\"", 2, "it belongs at the top of the file"),
        ("down_after = \"1s\"", 1, "it belongs in [defaults] or in a [[group]]"),
        ("[group]\npath = \"/a\"", 1, "write [[group]]"),
        ("defaults = 1", 1, "write [defaults]"),
    ] {
        Files::new(text).assert_fails(2, &[&format!("monitor.toml:{line}: "), told]);
    }
}

#[test]
fn a_wrong_value_is_refused_with_file_line_and_reason() {
    for (text, line, told) in [
        ("[defaults]\ndown_after = \"5\"", 2, "500ms or 1s"),
        ("[defaults]\ndown_after = 5", 2, "expected a string"),
        ("[defaults]\nquorum = -1", 2, "-1"),
        ("[defaults]\njournal_limit = \"5MB\"", 2, "KiB, MiB or GiB"),
        ("[defaults]\nzkhosts = \"h:x\"", 2, "h:x"),
        ("[[group]]\npath = \"redis\"", 2, "does not begin with a slash"),
        ("[[group]]\npath = \"/a\"\nredishosts = [\"a\"]", 3, "HOST:PORT"),
        ("[[group]]\npath = \"/a\"\nredishosts = \"a:1\"", 3, "expected a sequence"),
        ("id = \"a/b\"", 1, "`a/b`"),
        ("listen = \"here\"", 1, "socket address"),
        ("id = \"a\"\nid = \"b\"", 2, "duplicate key"),
        ("\nid = ", 2, ""),
        ("[[group]]\nname = \"x\"", 1, "no `path`"),
    ] {
        Files::new(text).assert_fails(2, &[&format!("monitor.toml:{line}: "), told]);
    }
    let group = "[[group]]\npath = \"/a\"\n";
    for (more, told) in [
        ("", "`zkhosts` is missing"),
        ("zkhosts = \"h\"", "`redishosts` is missing"),
        ("zkhosts = \"h\"\nredishosts = []", "`redishosts` names no server"),
        ("zkhosts = \"h\"\nredishosts = [\"a:1\", \"a:1\"]", "names a:1 twice"),
        ("zkhosts = \"h\"\nredishosts = [\"a:1\"]\nsession_timeout = \"1ms\"", "tickTime"),
        ("zkhosts = \"h\"\nredishosts = [\"a:1\"]\nsleeptime = 0", "1..=86400"),
        ("zkhosts = \"h\"\nredishosts = [\"a:1\"]\nprobe_interval = \"900ms\"", "probe-interval 900ms"),
        ("zkhosts = \"h\"\nredishosts = [\"a:1\"]\nredis_username = \"u\"", "needs a password"),
    ] {
        Files::new(&format!("{group}{more}")).assert_fails(2, &["monitor.toml: group /a: ", told]);
    }
    Files::new("id = \"m1\"").assert_fails(2, &["there is no group", "[[group]]"]);
}

#[test]
fn two_groups_that_are_one_are_refused() {
    let two = |first: &str, second: &str| {
        let group = |keys: &str| format!("[[group]]\n{}\n", keys.replace("; ", "\n"));
        Files::new(&(group(first) + &group(second)))
    };
    let base = "zkhosts = \"h1,h2\"; path = \"/a/b\"; redishosts = [\"r:1\"]";
    let same = "zkhosts = \"h2:2181,h1/a\"; path = \"/b\"; redishosts = [\"r:2\"]";
    two(base, same).assert_fails(2, &["group /b in", "is the same as group /a/b"]);
    let name = "zkhosts = \"h1,h2\"; path = \"/c/b\"; redishosts = [\"r:2\"]";
    two(base, name).assert_fails(2, &["are both called b", "`name`"]);
    let node = "zkhosts = \"h1,h2\"; path = \"/c\"; redishosts = [\"r:2\", \"r:1\"]";
    two(base, node).assert_fails(2, &["both list r:1", "belongs to one group"]);
    let elsewhere = "zkhosts = \"h3\"; path = \"/a/b\"; name = \"other\"; redishosts = [\"r:2\"]";
    two(base, elsewhere).shown(&[]);
}

#[test]
fn a_state_file_is_for_all_groups_and_stands_beside_the_configuration() {
    let group = |name: &str| format!("[[group]]\npath = \"/{name}\"\nredishosts = [\"{name}:1\"]\n");
    let top = "embedded = true\nstate_file = \"state\"\n";
    let files = Files::new(&(top.to_owned() + &group("a")));
    files.write("conf.d/b.toml", &group("b"));
    let shown = files.shown(&[]);
    let state = format!("{}, without ZooKeeper", files.0.path().join("state").display());
    assert_eq!(shown.matches(&state).count(), 2, "{shown}");
    assert!(shown.contains("monitor id       single"), "{shown}");
    files.write("conf.d/b.toml", &(group("b") + "zkhosts = \"h\"\n"));
    files.assert_fails(2, &["conf.d/b.toml: group /b: `zkhosts` contradicts `embedded`"]);
    files.write("conf.d/b.toml", &(group("b") + "quorum = 2\n"));
    files.assert_fails(2, &["conf.d/b.toml: group /b: `quorum` 2 contradicts `embedded`"]);
    files.write("conf.d/b.toml", &(group("b") + "embedded = true\n"));
    files.assert_fails(2, &["conf.d/b.toml:4: ", "it belongs at the top of the file"]);
    files.write("conf.d/b.toml", &group("b").replace("/b", "/a"));
    files.assert_fails(2, &["is the same as"]);

    let wrong = |top: &str, told: &str| {
        Files::new(&(top.to_owned() + &group("a"))).assert_fails(2, &["monitor.toml: ", told]);
    };
    wrong("embedded = true\n", "`embedded` needs `state_file`");
    wrong("state_file = \"f\"\n", "`state_file` means nothing without `embedded`");
    wrong("embedded = false\nstate_file = \"f\"\n", "`state_file` means nothing without `embedded`");
    wrong("embedded = false\n", "`zkhosts` is missing");
    let top = Files::new(&(top.to_owned() + &group("a")));
    let main = top.0.path().join("monitor.toml");
    let output =
        Command::new(env!("CARGO_BIN_EXE_redis-failover")).args(["top", "--config"]).arg(main).output();
    let error = String::from_utf8_lossy(&output.expect("the program runs").stderr).into_owned();
    assert!(
        error.contains("is kept in the state file") && error.contains("top looks into ZooKeeper"),
        "{error}"
    );
}

#[test]
fn each_group_has_a_journal_of_its_own() {
    let two = |first: &str, second: &str| {
        let group = |name: &str, journal: &str| {
            format!("[[group]]\npath = \"/{name}\"\nredishosts = [\"{name}:1\"]\njournal = \"{journal}\"\n")
        };
        let defaults = "[defaults]\nzkhosts = \"h\"\njournal_limit = \"128KiB\"\n";
        Files::new(&(defaults.to_owned() + &group("a", first) + &group("b", second)))
    };
    let files = two("a.journal", "/var/b.journal");
    let text = files.shown(&[]);
    let beside = format!("{}, at most 128 KiB", files.0.path().join("a.journal").display());
    assert!(text.contains(&beside) && text.contains("/var/b.journal, at most 128 KiB"), "{text}");
    for (second, shared) in [("j", "/j"), ("./j", "/j"), ("j.1", "/j.1")] {
        let told = ["group /b in", "and group /a in", "both write the journal", shared, "NAME.1"];
        two("j", second).assert_fails(2, &told);
    }
}

#[test]
fn a_password_is_in_a_file_of_its_own_and_one_that_everybody_can_read_is_warned_about() {
    use std::os::unix::fs::PermissionsExt;
    let group = "[[group]]\nzkhosts = \"h\"\npath = \"/a\"\nredishosts = [\"r:1\"]\n";
    let literal = Files::new(&format!("{group}redis_password = \"hunter2\"\n"));
    let output = literal.check_with(&[], &[]);
    assert_failed(&output, 2, &["monitor.toml:5: `redis_password` is not accepted", "redis_password_file"]);
    assert!(!String::from_utf8_lossy(&output.stderr).contains("hunter2"));

    let files = Files::new(&format!("{group}redis_password_file = \"secret\"\n"));
    files.assert_fails(1, &["group /a: `redis_password_file`", "No such file"]);
    let secret = files.write("secret", "hunter2\n");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).expect("it is ours");
    let text = files.shown(&[]);
    assert!(
        text.contains("with a password") && !text.contains("hunter2") && !text.contains("warning"),
        "{text}"
    );
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o644)).expect("it is ours");
    let text = files.shown(&[]);
    assert!(text.contains("warning: the password file") && text.contains("chmod 600"), "{text}");
}

#[test]
fn certificates_are_files_beside_the_configuration_and_what_is_wrong_with_one_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let authority = Authority::new();
    let issued = authority.issue(&["monitor"]);
    let files = Files::new("");
    let copy = |name: &str, from: &Path| files.write(name, &fs::read_to_string(from).expect("it was issued"));
    copy("ca.pem", &authority.roots());
    copy("monitor.pem", &issued.certificate);
    let key = copy("monitor.key", &issued.key);
    copy("other.key", &authority.issue(&["other"]).key);
    let config = |more: &str| {
        let group = "[[group]]\nzkhosts = \"zk\"\npath = \"/a\"\nredishosts = [\"r:1\"]\n";
        files.write("monitor.toml", &format!("{group}{more}"));
    };
    for whom in ["redis", "zookeeper"] {
        let tls = |end: &str, file: &str| format!("{whom}_tls_{end}_file = \"{file}\"\n");
        let whole = tls("ca", "ca.pem") + &tls("cert", "monitor.pem") + &tls("key", "monitor.key");
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("it is ours");
        config(&whole);
        let shown = files.shown(&[]);
        assert_eq!(shown.matches("over TLS").count(), 1, "{shown}");
        assert!(!shown.contains("warning"), "{shown}");
        fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("it is ours");
        assert!(files.shown(&[]).contains("warning: the key file"), "anybody may read it");
        config(&(whole + &format!("{whom}_tls = false\n")));
        assert!(!files.shown(&[]).contains("over TLS"));

        let refused = |more: String, code: i32, texts: &[&str]| {
            config(&more);
            files.assert_fails(code, texts);
        };
        let named = |end: &str| format!("`{whom}_tls_{end}_file`");
        refused(tls("ca", "gone.pem"), 1, &[&named("ca"), "gone.pem", "No such file"]);
        refused(tls("ca", "monitor.key"), 1, &[&named("ca"), "monitor.key", "no certificate"]);
        refused(tls("cert", "monitor.pem"), 2, &[&named("cert"), &named("key")]);
        refused(tls("key", "monitor.key"), 2, &[&named("key"), &named("cert")]);
        let strange = tls("ca", "ca.pem") + &tls("cert", "monitor.pem") + &tls("key", "other.key");
        refused(strange, 1, &[&named("key"), "other.key", "not the key of"]);
    }
    let ca = "redis_tls_ca_file = \"ca.pem\"\n";
    config(&format!("{ca}redis_tls_server_name = \"a b\"\n"));
    files.assert_fails(2, &["`redis_tls_server_name`", "`a b`"]);
}

#[test]
fn zookeepers_user_has_a_password_and_no_colon() {
    let group = "[[group]]\nzkhosts = \"zk\"\npath = \"/a\"\nredishosts = [\"r:1\"]\n";
    let files = Files::new(&format!("{group}zookeeper_user = \"u\"\n"));
    files.assert_fails(2, &["`zookeeper_user` needs a password", "`zookeeper_password_file`"]);
    files.write("secret", "hunter2\n");
    let password = "zookeeper_password_file = \"secret\"\n";
    for (user, texts) in
        [("", ["needs a user", "`zookeeper_user`"]), ("zookeeper_user = \"a:b\"\n", ["a:b", "colon"])]
    {
        files.write("monitor.toml", &format!("{group}{password}{user}"));
        files.assert_fails(2, &texts);
    }
    files.write("monitor.toml", &format!("{group}{password}zookeeper_user = \"u\"\n"));
    let shown = files.shown(&[]);
    assert!(shown.contains("with credentials") && !shown.contains("hunter2"), "{shown}");
    let given = files.check_with(&[], &[("REDIS_FAILOVER_ZOOKEEPER_PASSWORD", "hunter2")]);
    assert_failed(&given, 2, &["REDIS_FAILOVER_ZOOKEEPER_PASSWORD contradicts"]);
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let files = Files::new("");
    fs::remove_file(files.0.path().join("monitor.toml")).expect("it is there");
    files.assert_fails(1, &["monitor.toml: No such file"]);
}

#[test]
fn the_example_of_the_documentation_is_right_and_has_every_key() {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operating.md"));
    let page = page.expect("the page");
    let mut blocks = page.split("```toml\n").skip(1).map(|rest| rest.split("```").next().expect("a block"));
    let (main, more) = (blocks.next().expect("the example"), blocks.next().expect("the file in conf.d"));
    assert_eq!(blocks.next(), None);
    let files = Files::new(&main.replace("/etc/redis-failover/", ""));
    files.write("conf.d/sessions.toml", more);
    files.write("redis.password", "secret\n");
    let text = files.shown(&[]);
    assert!(
        text.contains("orders at /redis/orders") && text.contains("sessions at /redis/sessions"),
        "{text}"
    );
    let output = Command::new(env!("CARGO_BIN_EXE_redis-failover")).arg("config-keys").output();
    let keys = String::from_utf8(output.expect("the program runs").stdout).expect("text");
    let keys: Vec<_> = keys.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    assert!(keys.len() > 10, "{keys:?}");
    for key in keys {
        let stands = |line: &str| line.trim_start_matches("# ").starts_with(&format!("{key} = "));
        assert!(main.lines().chain(more.lines()).any(stands), "{key} is not in the example");
    }
}

/// What is shown of two lines in a file, each of which says something else, differs.
fn assert_shown(key: &str, file: &str, line: &str) {
    let said = file.replace("# here", line);
    assert_ne!(said, file);
    let (with, without) = (Files::new(&said).shown(&[]), Files::new(file).shown(&[]));
    assert_ne!(with, without, "`{line}` is not shown, nor anything else of `{key}`");
}

#[test]
fn all_of_a_groups_policy_and_all_addresses_and_users_are_shown_in_words() {
    let group =
        TWO.replace("[defaults]", "[defaults]\n# here").replace("down_after = \"500ms\"\nquorum = 2\n", "");
    let json = Files::new(&group).shown(&["--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).expect("it prints JSON");
    for key in json["groups"][0]["policy"].as_object().expect("an object").keys() {
        let value = match key.as_str() {
            "down_after" | "link_grace" | "third_failover_waits" => "\"7s\"",
            "probe_interval" => "\"70ms\"",
            "discover" | "fencing" => "\"off\"",
            "on_divergence" => "\"save\"",
            "quorum" | "parallel_syncs" => "7",
            _ => "true",
        };
        assert_shown(key, &group, &format!("{key} = {value}"));
    }
    let process = TWO.replace("[defaults]", "sentinel = \"127.0.0.1:1\"\n# here\n[defaults]");
    assert_shown("announce", &process, "announce = \"a.example:7\"");
    assert_shown("sentinel_announce", &process, "sentinel_announce = \"a.example:7\"");
    let process = Files::new(&process);
    let password = process.write("password", "secret");
    let main = process.0.path().join("monitor.toml");
    let file = fs::read_to_string(&main).expect("it is there");
    let line = format!("sentinel_username = \"ops\"\nsentinel_password_file = {password:?}");
    fs::write(&main, file.replace("# here", &line)).expect("it is written");
    let shown = process.shown(&[]);
    assert!(shown.contains("user ops, with a password") && !shown.contains("secret"), "{shown}");
}
