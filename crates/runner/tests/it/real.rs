//! The pool with the real runners and a real Chromium: a page is opened, its browser is in its own sandbox and not root's,
//! the next attempt of the same pair is quick, and nothing is left.
//!
//! Needs a browser; says that it is skipped where there is none.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use keywright_domain::{AttemptEnd, DeploymentId, Language};
use keywright_runner::SandboxPolicy;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::runtime::runtime;
use crate::slots::{Host, World, order, processes_of};

const PYTHON_API: &str = r#"
from urllib.request import urlopen

async def automation(page, params, **_):
    await page.goto(params["address"])
    urlopen(params["address"] + "inside").read()
    print("read", await page.title())
    return {"title": await page.title(), "agent": await page.evaluate("navigator.userAgent")}
"#;

const NODE_API: &str = r#"
module.exports = async (params, page) => {
  await page.goto(params.address);
  await fetch(params.address + "inside");
  console.log("read", await page.title());
  return { title: await page.title(), agent: await page.evaluate(() => navigator.userAgent) };
};
"#;

/// A site with one page. A request for `/inside` is an event: user code runs, and what its slot looks like is returned.
fn serve(slots: PathBuf) -> (String, std::thread::JoinHandle<Vec<(u32, String)>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/", listener.local_addr().unwrap());
    let site = std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let mut request = [0; 2_048];
            let length = connection.read(&mut request).unwrap_or(0);
            let is_inside = request[..length].starts_with(b"GET /inside");
            let seen = if is_inside { owners_of(&slots) } else { Vec::new() };
            let body = "<!doctype html><title>A page</title>";
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            // A browser opens connections that it never uses.
            drop(connection.write_all(format!("{head}{body}").as_bytes()));
            if is_inside {
                return seen;
            }
        }
        unreachable!("a listener accepts for ever")
    });
    (address, site)
}

/// User and command line of every process below a slot, by its working folder: a browser's helpers rewrite their environment.
fn owners_of(slots: &Path) -> Vec<(u32, String)> {
    let entries = std::fs::read_dir("/proc").unwrap();
    entries
        .filter_map(|entry| {
            let process = entry.ok()?.path();
            let is_ours = std::fs::read_link(process.join("cwd")).ok()?.starts_with(slots);
            let command = String::from_utf8_lossy(&std::fs::read(process.join("cmdline")).ok()?).replace('\0', " ");
            is_ours.then_some((std::fs::metadata(&process).ok()?.uid(), command))
        })
        .collect()
}

fn write(world: &World, deployment: &DeploymentId, name: &str, content: &str) {
    let path = world.folder.path().join("data/deployments").join(deployment.as_str()).join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

async fn a_page_is_opened(language: Language, file: &str, code: &str) {
    if !Path::new("/usr/bin/chromium-headless-shell").exists() {
        eprintln!("skipped: chromium-headless-shell is missing");
        return;
    }
    let runtime = runtime().await;
    let world = World::new(tempfile::tempdir().unwrap(), runtime.root(), 1, SandboxPolicy::WhereAllowed).await;
    let deployment = world.deployment(1, language);
    write(&world, &deployment, file, code);
    let slots = world.slots().canonicalize().unwrap();
    for round in 0..2 {
        let (address, site) = serve(slots.clone());
        let mut order = order(&deployment, language, Some(1), json!({"address": address}));
        order.is_trace_wanted = true;
        let began = std::time::Instant::now();
        let report = world.pool.execute(order, Arc::new(Host::default()), CancellationToken::new()).await;
        eprintln!("round {round}: {:?}", began.elapsed());
        let log = String::from_utf8(report.log.to_vec()).unwrap();
        let AttemptEnd::Returned { result, .. } = &report.end else { panic!("{:?}\n{log}", report.end) };
        assert_eq!(result["title"], json!("A page"));
        assert!(!result["agent"].as_str().unwrap().contains("Headless"), "{result}");
        assert!(log.contains("read A page"), "{log}");
        let trace = report.trace.expect("a trace was wanted");
        assert!(std::fs::read(&trace.path).unwrap().starts_with(b"PK") && !trace.is_login);
        let seen = site.join().unwrap();
        let protections = world.pool.protections();
        let browsers: Vec<_> =
            seen.iter().filter(|(_, command)| command.contains("--type=renderer") || command.contains("--headless")).collect();
        assert!(!browsers.is_empty(), "{seen:?}");
        if protections.is_browser_sandboxed {
            assert!(!seen.iter().any(|(_, command)| command.contains("--no-sandbox")), "{seen:?}");
        }
        if protections.is_unprivileged {
            assert!(seen.iter().all(|(uid, _)| *uid != 0), "{seen:?}");
        }
    }
    assert!(!processes_of(&slots).is_empty());
    world.end().await;
    assert_eq!(owners_of(&slots), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn python_opens_a_page_in_a_sandboxed_browser() {
    a_page_is_opened(Language::Python, "api/orders.py", PYTHON_API).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn node_opens_a_page_in_a_sandboxed_browser() {
    a_page_is_opened(Language::Node, ".keywright/build/api/orders.cjs", NODE_API).await;
}
