//! A reload that has a fault anywhere is refused whole, with file, line and column, and nothing changes.

use interop::carriers::Carriers;
use interop::sipp::Step;

const RULE: &str = "    - { match: { to: \"200\" }, do: [ { reject: { status: 486 } } ] }\n";

/// What the switch does with a call to 200, and who its trunks are.
fn state(stage: &Carriers, status: u16) {
    let steps = [Step::Invite, Step::May(100), Step::Expect(status), Step::AckFailure];
    stage.start(&stage.caller("200", &steps)).finish(std::time::Duration::from_secs(40));
}

fn trunks(stage: &Carriers) -> Vec<String> {
    let all = stage.tandem.get_json("/tandem/v1/trunks");
    let names = all["trunks"].as_array().into_iter().flatten().filter_map(|t| t["name"].as_str().map(str::to_owned));
    names.collect()
}

#[test]
fn a_faulty_reload_changes_nothing_and_says_where() {
    let stage = Carriers::new("reload", RULE);
    let path = |name: &str| stage.scratch.path().join(name);
    let read = |name: &str| std::fs::read_to_string(path(name)).expect("a file");
    let (config, dialplan) = (read("tandem.yaml"), read("dialplan.yaml"));
    let before = trunks(&stage);
    state(&stage, 486);
    // Each with a change that would be good by itself: another answer to the call, and a trunk more.
    let good_dialplan = dialplan.replace("486", "603");
    let more = "  - { name: added, targets: [\"sip:127.0.0.9:5060\"], context: from-carrier }\n";
    let good_config = config.replace("trunks:\n", &format!("trunks:\n{more}"));
    assert!(good_config != config && good_dialplan != dialplan);
    let rows: &[(&str, &str, &str, &str)] = &[
        // In which file, what is replaced, by what, and what is said of it.
        ("tandem.yaml", "node: interop", "nod: interop", "tandem.yaml:1:1: unknown key \"nod\""),
        ("tandem.yaml", "node: interop", "node: [interop", "tandem.yaml:"),
        ("tandem.yaml", "context: from-carrier }", "context: nowhere }", "\"nowhere\""),
        ("tandem.yaml", "name: farther", "name: far", "far"),
        ("tandem.yaml", "node: interop", "node: interop\nlimits: { cps: many }", "tandem.yaml:2:16: "),
        ("tandem.yaml", "node: interop", "node: interop\nhep: { target: \"http://a\" }", "tandem.yaml:2:16: "),
        ("tandem.yaml", "node: interop", "node: other", "node cannot change while the switch runs"),
        ("tandem.yaml", "dialplans: [dialplan.yaml]", "dialplans: [absent.yaml]", "absent.yaml"),
        ("dialplan.yaml", "reject: {", "rejekt: {", "dialplan.yaml:3:"),
        ("dialplan.yaml", "status: 603", "status: 99", "dialplan.yaml:3:"),
        ("dialplan.yaml", "{ reject: { status: 603 } }", "{ goto: nowhere }", "dialplan.yaml:3:"),
        ("dialplan.yaml", "{ reject: { status: 603 } }", "{ play: absent.wav }", "absent.wav"),
        ("dialplan.yaml", "{ reject: { status: 603 } }", "{ dial: { user: nobody } }", "dialplan.yaml:3:"),
    ];
    for (file, from, to, said) in rows {
        let broken = |name: &str, text: &str| if *file == name { text.replacen(from, to, 1) } else { text.to_owned() };
        let (a, b) = (broken("tandem.yaml", &good_config), broken("dialplan.yaml", &good_dialplan));
        assert!(a != good_config || b != good_dialplan, "{from} stands in {file}");
        std::fs::write(path("tandem.yaml"), a).expect("a file is written");
        std::fs::write(path("dialplan.yaml"), b).expect("a file is written");
        // What asks the switch needs a configuration that can be read.
        let keep = stage.scratch.path().join("asking.yaml");
        std::fs::write(&keep, &config).expect("a file is written");
        let (status, text) = stage.tandem.command_with(&keep, &["reload"]);
        assert!(status == 1 && text.contains(said), "{to}: {status} {text}");
        let is_located = text
            .lines()
            .any(|l| l.contains(".yaml:") && l.split(':').filter(|p| p.parse::<u32>().is_ok()).count() >= 2);
        assert!(is_located || said.contains("cannot change"), "{to}: {text}");
        assert_eq!(trunks(&stage), before, "{to}");
    }
    state(&stage, 486);
    // Without the faults both changes are taken, together.
    std::fs::write(path("tandem.yaml"), good_config).expect("a file is written");
    std::fs::write(path("dialplan.yaml"), good_dialplan).expect("a file is written");
    let (status, text) = stage.tandem.command(&["reload"]);
    assert_eq!(status, 0, "{text}");
    assert_eq!(trunks(&stage).len(), before.len() + 1);
    state(&stage, 603);
}
