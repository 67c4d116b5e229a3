//! The tools as a client calls them, under random schedules.

use super::add;
use crate::ledger::Ledger;
use freehold::Session;
use freehold_mcp::McpServer;
use freehold_testing::{Explore, Simulation};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

const OPENING: u64 = 100;

async fn tool(sim: &Simulation, session: &Session<()>, name: &str, arguments: Value) -> Value {
    let answer = sim.call(session, "tools/call", &json!({ "name": name, "arguments": arguments })).await;
    let result = answer.result.unwrap_or_else(|error| panic!("{name}: {error}"));
    serde_json::from_str(result.get()).expect("a result is JSON")
}

async fn connect(sim: &Simulation, server: &McpServer) -> Session<()> {
    let session = server.engine().open().expect("there is room");
    let initialize = json!({
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": { "name": "simulated", "version": "1" },
    });
    assert!(sim.call(&session, "initialize", &initialize).await.result.is_ok());
    session
}

/// Two clients pay each other, one of them cancels its second payment while the money is in transit.
async fn payments(sim: Simulation) {
    let ledger = Arc::new(Ledger::built(2, |builder| sim.engine(builder)));
    let builder = McpServer::builder("simulated", "1").engine(|engine| sim.configure(engine)).app(ledger);
    let server = add(builder).build().expect("a server");
    sim.watch(server.engine());
    let (anna, ben) = (connect(&sim, &server).await, connect(&sim, &server).await);
    let mut accounts = Vec::new();
    for (session, owner) in [(&anna, "Anna"), (&ben, "Ben")] {
        let opened = tool(&sim, session, "open_account", json!({ "owner": owner, "balance": OPENING })).await;
        accounts.push(opened["structuredContent"]["account"].as_str().expect("an id").to_owned());
    }
    let pay = |session: &Session<()>, from: &String, to: &String, amount: u64| {
        let (sim, session) = (sim.clone(), session.clone());
        let arguments = json!({ "from": from, "to": to, "amount": amount, "pause_ms": 20 });
        sim.clone().spawn("pays", async move {
            tool(&sim, &session, "transfer", arguments).await["isError"] == true
        })
    };
    let paid = [pay(&anna, &accounts[0], &accounts[1], 30), pay(&ben, &accounts[1], &accounts[0], 50)];
    let cancelled = sim.spawn("cancels", {
        let (sim, session) = (sim.clone(), anna.clone());
        let arguments = json!({ "from": accounts[0], "to": accounts[1], "amount": 7, "pause_ms": 1_000 });
        async move {
            let call = tool(&sim, &session, "transfer", arguments);
            let runtime = sim.runtime();
            freehold::runtime::until(&*runtime, runtime.now() + Duration::from_millis(5), call)
                .await
                .is_none()
        }
    });
    for _ in 0..5 {
        let audit = tool(&sim, &ben, "audit", json!({})).await;
        assert_eq!(audit["structuredContent"]["balanced"], true, "{audit}");
        sim.pause(Duration::from_millis(6)).await;
    }
    for paid in paid {
        assert_eq!(paid.await, Some(false));
    }
    assert_eq!(cancelled.await, Some(true));
    sim.pause(Duration::from_secs(2)).await;
    for (session, account, balance) in [(&anna, &accounts[0], 120), (&ben, &accounts[1], 80)] {
        let shown = tool(&sim, session, "balance", json!({ "account": account })).await;
        let shown = &shown["structuredContent"];
        assert_eq!((&shown["balance"], &shown["in_transit"]), (&json!(balance), &json!(0)), "{shown}");
    }
}

#[test]
fn the_tools_of_the_ledger_pass_under_every_schedule() {
    assert_eq!(Explore::new().schedules(200).run(payments).schedules, 200);
}
