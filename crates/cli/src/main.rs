//! `servicelab`: the engine in a terminal. No behaviour of its own.
#![forbid(unsafe_code)]

mod arguments;
mod conformance;
mod dns;
mod flow;
mod lesson;
mod rules;
mod run;
mod sh;
mod site;
mod validate;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

const USAGE: &str = "usage: servicelab COMMAND ...

  rules        a node's rules, as kube-proxy writes them
  validate     what the API server answers to manifests
  flow         where a node sends a connection, from its rules
  dns          what CoreDNS answers to a name
  conformance  every case below a folder, held to what the real thing did
  run          a scenario without a browser: what became of its requests
  sh           a command in the simulated cluster: -f FILE [--at 30s] -- kubectl get svc -o wide
  lesson       check [DIR]: lessons held to their promises; new [CHAPTER/]ID: a lesson to begin with
  site render  DIST: a page for each language and lesson, with its text in it
";

/// Prints to standard output; a reader that has gone is no mistake of ours.
fn print(text: &str) {
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

fn rules(args: &[String]) -> ExitCode {
    match rules::run(args) {
        Ok(text) => {
            print(&text);
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::from(failure.code())
        }
    }
}

fn flow(args: &[String]) -> ExitCode {
    match flow::run(args) {
        Ok(text) => {
            print(&text);
            ExitCode::SUCCESS
        }
        Err(rules::Failure::Usage(why)) => {
            eprintln!("{why}\nusage: {}", flow::USAGE);
            ExitCode::from(2)
        }
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::from(failure.code())
        }
    }
}

fn dns(args: &[String]) -> ExitCode {
    match dns::run(args) {
        Ok(text) => {
            print(&text);
            ExitCode::SUCCESS
        }
        Err(rules::Failure::Usage(why)) => {
            eprintln!("{why}\nusage: {}", dns::USAGE);
            ExitCode::from(2)
        }
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::from(failure.code())
        }
    }
}

fn validate(args: &[String]) -> ExitCode {
    match validate::run(args) {
        Ok((text, remarks, valid)) => {
            print(&text);
            eprint!("{remarks}");
            if valid { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(rules::Failure::Usage(why)) => {
            eprintln!("{why}\nusage: {}", validate::USAGE);
            ExitCode::from(2)
        }
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::from(2)
        }
    }
}

fn conformance(args: &[String]) -> ExitCode {
    let [dir] = args else {
        eprintln!("usage: servicelab conformance DIR");
        return ExitCode::from(2);
    };
    match conformance::run(Path::new(dir)) {
        Ok(report) => {
            print(&report.text());
            if report.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(why) => {
            eprintln!("{why}");
            ExitCode::from(2)
        }
    }
}

fn lesson(args: &[String]) -> ExitCode {
    let dir = match args {
        [check] if check == "check" => "lessons",
        [check, dir] if check == "check" => dir,
        [new, name] if new == "new" => {
            return match lesson::new(Path::new("lessons"), name) {
                Ok(text) => {
                    print(&text);
                    ExitCode::SUCCESS
                }
                Err(why) => {
                    eprintln!("{why}");
                    ExitCode::from(2)
                }
            };
        }
        _ => {
            eprintln!("usage: servicelab lesson check [DIR]\n       servicelab lesson new [CHAPTER/]ID");
            return ExitCode::from(2);
        }
    };
    match lesson::check(Path::new(dir)) {
        Ok(report) => {
            print(&report.text());
            if report.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(why) => {
            eprintln!("{why}");
            ExitCode::from(2)
        }
    }
}

fn run(args: &[String]) -> ExitCode {
    match run::run(args) {
        Ok(text) => {
            print(&text);
            ExitCode::SUCCESS
        }
        Err(rules::Failure::Usage(why)) => {
            eprintln!("{why}\nusage: {}", run::USAGE);
            ExitCode::from(2)
        }
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::from(failure.code())
        }
    }
}

fn sh(args: &[String]) -> ExitCode {
    match sh::run(args, &mut std::io::stdout().lock(), &mut std::io::stderr().lock()) {
        Ok(code) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
        Err(rules::Failure::Usage(why)) => {
            eprintln!("{why}\nusage: {}", sh::USAGE);
            ExitCode::from(2)
        }
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::from(failure.code())
        }
    }
}

fn site(args: &[String]) -> ExitCode {
    let [render, dist] = args else {
        eprintln!("usage: servicelab site render DIST");
        return ExitCode::from(2);
    };
    if render != "render" {
        eprintln!("usage: servicelab site render DIST");
        return ExitCode::from(2);
    }
    match site::render(Path::new(dist)) {
        Ok(report) => {
            print(&report);
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args_os().skip(1).map(|a| a.to_string_lossy().into_owned()).collect();
    match args.split_first() {
        Some((command, rest)) => match command.as_str() {
            "rules" => rules(rest),
            "flow" => flow(rest),
            "dns" => dns(rest),
            "validate" => validate(rest),
            "conformance" => conformance(rest),
            "run" => run(rest),
            "sh" => sh(rest),
            "lesson" => lesson(rest),
            "site" => site(rest),
            "help" | "--help" | "-h" => {
                print(USAGE);
                ExitCode::SUCCESS
            }
            other => {
                eprint!("unknown command {other:?}\n{USAGE}");
                ExitCode::from(2)
            }
        },
        None => {
            eprint!("{USAGE}");
            ExitCode::from(2)
        }
    }
}
