//! A host that vanishes: nobody is told, no connection is refused, no packet answered.

use crate::field::{Field, Spelling};
use crate::writer::{LOST_AT_MOST, Writer, assert_sound};

#[test]
fn a_master_whose_host_vanishes_is_replaced_and_demoted_when_it_reappears() {
    let field = Field::new();
    field.play("/redis/vanishes", Spelling::V4, |servers, group| {
        let writer = Writer::start(&servers, &group, "vanishes");
        field.nodes[0].vanish();
        let master = group.await_successor(&servers, 0);
        writer.write_more();
        assert_eq!(
            field.nodes[0].run(|| group.redis[0].role()).as_deref(),
            Ok("master"),
            "nobody could tell it"
        );
        assert_eq!(group.logged("is refused for this monitor"), 0, "there was no answer, not even a no");
        field.nodes[0].reappear();
        group.await_steady(&servers, master);
        writer.write_more();
        assert_eq!(group.status(&servers).expect("a status")["epoch"], 2);
        assert_sound(&writer.finish(&group.redis[master]), 1, LOST_AT_MOST);
    });
}
