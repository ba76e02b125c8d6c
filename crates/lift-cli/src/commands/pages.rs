//! This command's own arguments come in; completions for shells and man pages go out.

use std::{io, path::Path};

use clap::{Command, CommandFactory};

use crate::{
    args::{Args, CompletionsArgs, ManArgs, Shell},
    failure::{Exit, Failure},
    output::print,
};

pub(crate) fn completions(args: &CompletionsArgs) -> Result<(), Failure> {
    let shell = match args.shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    let (mut command, name) = (Args::command(), "lift");
    if let Some(dir) = &args.dir {
        std::fs::create_dir_all(dir).map_err(|error| unwritten(dir, &error))?;
        let written = clap_complete::generate_to(shell, &mut command, name, dir);
        let path = written.map_err(|error| unwritten(dir, &error))?;
        return print(&format!("{}\n", path.display()));
    }
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    print(&String::from_utf8_lossy(&script))
}

pub(crate) fn man(args: &ManArgs) -> Result<(), Failure> {
    let Some(dir) = &args.dir else {
        let page = page(Args::command()).map_err(|error| unwritten(Path::new("-"), &error))?;
        return print(&page);
    };
    std::fs::create_dir_all(dir).map_err(|error| unwritten(dir, &error))?;
    let mut command = Args::command();
    // Gives every command its full name, `lift-store-backup`.
    command.build();
    let mut written = String::new();
    write_all(dir, &command, &mut written).map_err(|error| unwritten(dir, &error))?;
    print(&written)
}

fn write_all(dir: &Path, command: &Command, written: &mut String) -> io::Result<()> {
    let commands = command.get_subcommands();
    for command in commands.filter(|command| command.get_name() != "help") {
        write_all(dir, command, written)?;
    }
    let name = command.get_display_name().unwrap_or(command.get_name());
    let path = dir.join(format!("{name}.1"));
    std::fs::write(&path, page(command.clone())?)?;
    written.push_str(&format!("{}\n", path.display()));
    Ok(())
}

fn page(command: Command) -> io::Result<String> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    String::from_utf8(page).map_err(io::Error::other)
}

fn unwritten(to: &Path, error: &io::Error) -> Failure {
    let what = format!("`{}` cannot be written", to.display());
    let help = "choose another --dir, or run this as a user who may write there";
    Failure::file(Exit::Failed, what, error, help)
}
