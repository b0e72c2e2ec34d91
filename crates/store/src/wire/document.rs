//! The published document: the predecessor's `master` and `slaves`, and our keys beside them.

use redis_failover_core::{Epoch, Member, NodeAddr, Phase, Publication, ReplId, RunId, Topology};
use serde_json::{Map, Value, json};

use super::{FORMAT, Unreadable, bytes, format_of, garbage, merged, object};

/// The phase in which the published master takes writes.
const STEADY: &str = "steady";

/// What the published document says, and in which format.
pub(super) struct Published {
    /// `None` is the predecessor's.
    pub(super) format: Option<u64>,
    pub(super) content: Publication,
}

/// What `bytes` publish, if anything. A format after `newest` is refused, whatever else it says.
pub(super) fn parse(znode: &str, bytes: &[u8], newest: u64) -> Result<Option<Published>, Unreadable> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    let object = object(znode, bytes)?;
    let format = format_of(znode, bytes, &object, newest)?;
    let Some(master) = object.get("master") else {
        // The predecessor kept foreign properties, so there may be some before its first publication.
        return match (format, object.contains_key("slaves")) {
            (None, false) => Ok(None),
            _ => Err(garbage(znode, bytes, "it has no `master`")),
        };
    };
    let fail = |why| garbage(znode, bytes, why);
    let master = member(master).map_err(|why| fail(format!("its `master` {why}")))?;
    let replicas = replicas(object.get("slaves")).map_err(fail)?;
    let predecessor =
        Publication { epoch: Epoch(0), steady: true, master, replicas, run: None, replid: None };
    let content = match format {
        None => predecessor,
        Some(format) => {
            let epoch = match object.get("epoch").and_then(Value::as_u64) {
                Some(epoch) => epoch,
                // Those who only follow do without it rather than without a master.
                None if format > FORMAT => 0,
                None => return Err(fail("its `epoch` is no number".to_owned())),
            };
            let word = |key: &str| object.get(key).and_then(Value::as_str);
            Publication {
                epoch: Epoch(epoch),
                // A phase that is not known here promises nothing.
                steady: word("phase") == Some(STEADY),
                run: word("run").map(|run| RunId(run.to_owned())),
                replid: word("replid").map(|replid| ReplId(replid.to_owned())),
                ..predecessor
            }
        }
    };
    Ok(Some(Published { format, content }))
}

fn member(value: &Value) -> Result<Member, String> {
    let pair = value.as_array().and_then(|pair| match pair.as_slice() {
        [addr, status] => addr.as_str().zip(status.as_str()),
        _ => None,
    });
    let (addr, status) = pair.ok_or(r#"is not of the form ["HOST:PORT","OK"]"#)?;
    let addr: NodeAddr = addr.parse().map_err(|error| format!("has no address: {error}"))?;
    match status {
        "OK" => Ok(Member { addr, ok: true }),
        "KO" => Ok(Member { addr, ok: false }),
        _ => Err("is neither OK nor KO".to_owned()),
    }
}

/// The replicas by number; "10" comes after "9", whatever the order of the keys.
fn replicas(value: Option<&Value>) -> Result<Vec<Member>, String> {
    let Some(value) = value else { return Ok(Vec::new()) };
    let object = value.as_object().ok_or("its `slaves` is not an object")?;
    let mut numbered = object
        .iter()
        .map(|(key, value)| {
            let number: u64 = key.parse().map_err(|_| format!("its `slaves` has the key `{key}`"))?;
            Ok((number, member(value).map_err(|why| format!("its slave {key} {why}"))?))
        })
        .collect::<Result<Vec<_>, String>>()?;
    numbered.sort_by_key(|(number, _)| *number);
    Ok(numbered.into_iter().map(|(_, member)| member).collect())
}

/// The document that publishes `record`; keys of `base` that are not ours are kept.
pub(crate) fn document_bytes(record: &Topology, base: Option<&[u8]>) -> Vec<u8> {
    let status = |ok: bool| if ok { "OK" } else { "KO" };
    let (phase, open) = match record.phase {
        Phase::Steady => (STEADY, true),
        // Nobody takes writes now. The predecessor's clients need a master all the same.
        Phase::FailingOver(_) => ("failing_over", false),
    };
    let master = record.members.iter().find(|member| member.addr == record.master);
    let master_ok = open && master.is_some_and(|member| member.ok);
    let slaves: Map<String, Value> = record
        .members
        .iter()
        .filter(|member| member.addr != record.master)
        .enumerate()
        .map(|(index, member)| (index.to_string(), json!([member.addr.to_string(), status(member.ok)])))
        .collect();
    let replid = record.lineages.current().map(|lineage| lineage.replid.to_string());
    bytes(merged(
        super::base(base),
        vec![
            ("master", Some(json!([record.master.to_string(), status(master_ok)]))),
            ("slaves", Some(Value::Object(slaves))),
            ("format", Some(json!(FORMAT))),
            ("epoch", Some(json!(record.epoch.0))),
            ("phase", Some(json!(phase))),
            ("run", record.master_run.as_ref().map(|run| json!(run.0))),
            ("replid", replid.map(Value::String)),
        ],
    ))
}
