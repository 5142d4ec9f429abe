//! The world at one moment, in lines for the story of a broken history.

use super::world::World;

impl World {
    /// Puts every node's state at the end of the event log.
    pub(crate) fn log_tableau(&mut self) {
        for node in 0..self.nodes.len() {
            if self.nodes[node].gone {
                continue;
            }
            let line = self.tableau_of(node);
            self.say(|| line);
        }
    }

    /// Logs who has the followed write, when that changes.
    pub(crate) fn follow_write(&mut self) {
        let Some((number, before)) = self.followed.take() else { return };
        let has = |data: &super::data::Data| data.values().any(|value| value.contains(&number));
        let mut now = Vec::new();
        for node in self.nodes.iter().filter(|node| !node.gone) {
            let name = &node.member.name;
            now.extend(node.server.iter().filter(|s| has(&s.data)).map(|_| name.to_string()));
            now.extend(node.disk.data.iter().filter(|data| has(data)).map(|_| format!("disk of {name}")));
        }
        if now != before {
            self.say(|| format!("write {number} is at {}", now.join(", ")));
        }
        self.followed = Some((number, now));
    }

    fn tableau_of(&self, node: usize) -> String {
        let place = &self.nodes[node];
        let name = &place.member.name;
        let agent = place.agent.as_ref().map_or("no agent".to_owned(), |agent| {
            let refused = agent.start.as_ref().map(|start| start.reason.clone());
            format!("agent(gate {:?}, waits {refused:?}, stopping {:?})", agent.gate, agent.stopping)
        });
        let generation = place.disk.ledger.as_ref().and_then(|l| l.layout.as_ref()).map(|l| l.generation.to_string());
        let generation = generation.unwrap_or_else(|| "none".into());
        let Some(server) = &place.server else {
            return format!("  {name}: Layout {generation}, {agent}, no server");
        };
        let others: Vec<String> = server
            .table
            .iter()
            .filter(|(id, _)| **id != server.id)
            .map(|(id, p)| {
                let kind = if p.primary.is_some() { "r" } else { "p" };
                format!("{id}{kind}{}{}{}", p.slots.len(), if p.connected { "" } else { "!" }, short(p.health))
            })
            .collect();
        let me = server.me();
        format!(
            "  {name}: {} {:?} of {:?} epoch {} ok {} paused {} keys {} offset {} link {:?} open {:?} slots {} Layout {generation} {agent} sees {}",
            server.id,
            me.role,
            me.primary,
            me.epoch,
            server.state_ok,
            server.writes_paused(self.now),
            server.data.len(),
            server.offset,
            server.link,
            server.open.iter().take(3).collect::<Vec<_>>(),
            me.slots,
            others.join(" ")
        )
    }
}

fn short(health: redisnode_proto::topology::Health) -> &'static str {
    match health {
        redisnode_proto::topology::Health::Fine => "",
        redisnode_proto::topology::Health::Suspected => "?",
        redisnode_proto::topology::Health::Failed => "X",
    }
}
