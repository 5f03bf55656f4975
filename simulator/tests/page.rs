//! The report's page in a real browser: it asks for nothing, says nothing on the console,
//! fits a phone, and is dark where the reader wants it dark.

use std::{fs, path::Path, process::Command};

use weft_sim::{
    Options, rehearse,
    report::{escape, page},
    scenario::{Scenario, Share, Source},
};

/// Measures the page and writes what it found where `--dump-dom` shows it.
const PROBE: &str = r#"<script>
const style = getComputedStyle(document.body);
const rgb = text => text.match(/[\d.]+/g).slice(0, 3).map(Number);
const light = colour => { const [r, g, b] = rgb(colour).map(v => { v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
const contrast = (a, b) => { const [x, y] = [light(a), light(b)].sort((p, q) => q - p); return (x + 0.05) / (y + 0.05); };
const soft = getComputedStyle(document.querySelector('dl.head dt')).color;
const found = {
  width: innerWidth,
  overflow: document.documentElement.scrollWidth - innerWidth,
  resources: performance.getEntriesByType('resource').map(entry => entry.name),
  background: style.backgroundColor,
  contrast: Math.floor(10 * Math.min(contrast(style.color, style.backgroundColor), contrast(soft, style.backgroundColor))),
  charts: document.querySelectorAll('figure svg[role=img]').length,
  named: [...document.querySelectorAll('svg[role=img]')].every(svg => svg.getAttribute('aria-label')),
};
parent.document.body.insertAdjacentHTML('beforeend', '<p id="found">' + JSON.stringify(found) + '</p>');
</script>"#;

#[test]
fn the_page_stands_alone_in_a_real_browser() {
    let Some(browser) = browser() else {
        // a test harness has nowhere else to say it
        #[allow(clippy::print_stderr)]
        {
            eprintln!("SKIPPED the_page_stands_alone_in_a_real_browser: there is no chromium");
        }
        return;
    };
    let ready = weft_sim::scenario::ready("stolen-key").unwrap();
    let scenario = Scenario::read(Source {
        name: "it",
        text: ready.text,
    })
    .unwrap();
    let options = Options {
        seed: 1,
        scale: Share { ppm: 250_000 },
        is_one_of_many: false,
    };
    let mut report = rehearse(&scenario, options, &mut |_| true).unwrap();
    report.name("stolen-key", "weft-sim replay stolen-key --seed 1");
    let html = page(&report);
    for outside in ["<script", "http://", "https://", "url(", "@import"] {
        assert!(!html.contains(outside), "the page holds {outside}");
    }
    let folder = tempfile::tempdir().unwrap();
    let probed = html.replace("</body>", &format!("{PROBE}</body>"));
    let mut backgrounds = Vec::new();
    for (scheme, width) in [("1", 390), ("0", 390), ("1", 1280)] {
        let found = look(&browser, folder.path(), &probed, scheme, width);
        assert_eq!(found["width"], width, "{found}");
        assert_eq!(found["overflow"], 0, "{found}");
        assert_eq!(found["resources"], serde_json::json!([]), "{found}");
        assert!(found["charts"].as_u64().unwrap() >= 2, "{found}");
        assert_eq!(found["named"], true, "{found}");
        let contrast = found["contrast"].as_u64().unwrap();
        assert!(contrast >= 45, "4.5 to 1 is the least: {found}");
        backgrounds.push(found["background"].to_string());
    }
    assert_ne!(backgrounds[0], backgrounds[1], "light and dark");
    assert_eq!(backgrounds[0], backgrounds[2]);
}

/// Opens the page in a frame of this width, since no window is as narrow as a phone; what
/// the probe found.
fn look(browser: &str, folder: &Path, page: &str, scheme: &str, width: u32) -> serde_json::Value {
    let path = folder.join(format!("frame-{scheme}-{width}.html"));
    let frame = format!(
        "<!doctype html><html style=\"color-scheme: light dark\"><body><iframe style=\"border:0;width:{width}px;height:900px\" srcdoc=\"{}\"></iframe></body></html>",
        escape(page)
    );
    fs::write(&path, frame).unwrap();
    let profile = folder.join(format!("profile-{scheme}-{width}"));
    let output = Command::new(browser)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--hide-scrollbars",
            "--enable-logging=stderr",
            "--dump-dom",
        ])
        .arg(format!("--blink-settings=preferredColorScheme={scheme}"))
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg("--window-size=1400,900")
        .arg(format!("file://{}", path.display()))
        .output()
        .unwrap();
    let (dom, log) = (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    );
    let console: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("CONSOLE"))
        .collect();
    assert!(console.is_empty(), "{console:?}");
    // the script holds the same words, before
    let found = dom.rsplit("<p id=\"found\">").next();
    let found = found.and_then(|rest| rest.split("</p>").next());
    let found = found.unwrap_or_else(|| panic!("the probe did not run:\n{log}"));
    serde_json::from_str(&found.replace("&amp;", "&")).unwrap()
}

fn browser() -> Option<String> {
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let found = names.into_iter().find(|name| {
        let output = Command::new(name).arg("--version").output();
        output.is_ok_and(|output| output.status.success())
    });
    found.map(str::to_owned)
}
