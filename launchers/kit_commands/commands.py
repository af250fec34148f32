"""``flcore nvflare``. This only says how it is called: what it does is imported when it runs."""

from __future__ import annotations

import argparse
from importlib import import_module

from flcore.cli.command import Commands, add_command, disk_in_words
from flcore.cli.parser import Parser

_INSTALL = """KIT is the folder of a client's or the server's startup kit, where its parent is started, as provisioned,
or as `nvflare deploy prepare` or `nvflare poc prepare` makes it. In its local/ are then:
  flcore__p_resources.json   the launcher, which only parents read
  resources.json             as provisioned, without other launchers
  comm_config.json           where jobs find their parent: the network's gateway, and a port that nobody else has
  before-flcore/             what was there before, for `flcore nvflare uninstall`

Done again it changes what is named anew, or has come to be wrong, such as the address of a network that was made anew;
what else you have written into these files stays. A network that is not there is made; with --subnet it has the same
addresses whenever it is.

examples:
  flcore nvflare install prod_00/server prod_00/site-1 --image my-flare-jobs:1 --network flare --subnet 172.30.0.0/24
  flcore nvflare install prod_00/site-1 --image my-flare-jobs:2
  flcore check prod_00/site-1

exit status: 0, also if all was so already; 2 for an error, such as a folder that is no kit"""
_UNINSTALL = """Has each file in a kit's local/ be what it was before the first `flcore nvflare install`, byte for byte.
Where you have edited one since, nothing is changed, and it is said which; with --force it is restored, too, and what
you have written is kept beside it. The network stays: other kits may use it.

examples:
  flcore nvflare uninstall prod_00/site-1
  flcore nvflare uninstall prod_00/site-1 --force

exit status: 0; 2 for an error: something was edited, or nothing installed"""


def add_commands(commands: Commands) -> None:
    """Add the group, and the commands in it."""
    summary = "have a site of NVIDIA FLARE launch its jobs by flcore"
    group = commands.add_parser("nvflare", help=summary, description=summary)
    within = group.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_install(within)
    _add_uninstall(within)


def _add(commands: Commands, name: str, summary: str, epilog: str) -> Parser:
    """Add a command that a module's ``run`` does."""

    def run(args: argparse.Namespace) -> int:
        with disk_in_words():
            return int(import_module(f"{__package__}.{name}").run(args))

    parser = add_command(commands, name, run, summary, epilog)
    parser.add_argument("kit", metavar="KIT", nargs="+", help="the folder of a startup kit")
    parser.add_argument("--dry-run", action="store_true", help="change nothing: show what would be changed")
    return parser


def _add_install(commands: Commands) -> None:
    parser = _add(commands, "install", "set up kits, so that their jobs run in flcore's containers", _INSTALL)
    parser.add_argument("--image", metavar="IMAGE", help="the image of jobs that name none")
    parser.add_argument(
        "--network", metavar="NAME", help="the network of the jobs' containers; 'host' is this machine's"
    )
    parser.add_argument("--subnet", metavar="CIDR", type=_subnet, help="of a network that is made, as 172.30.0.0/24")
    parser.add_argument("--port", metavar="N", type=_port, help="where a parent listens for its jobs (a free one)")
    parser.add_argument("--address", metavar="HOST", help="where its jobs find it (the network's gateway)")
    parser.add_argument(
        "--in-container", action="store_true", help="the parent is itself in a container, in the same network"
    )
    parser.add_argument("--docker-host", metavar="URL", help="the engine, if not the one that Docker's command uses")


def _add_uninstall(commands: Commands) -> None:
    parser = _add(commands, "uninstall", "have kits be as they were before the installation", _UNINSTALL)
    parser.add_argument("--force", action="store_true", help="also where something was edited; that is kept beside it")


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 1 << 16:
        raise argparse.ArgumentTypeError(f"must be a port, 1 to 65535, got {text!r}")
    return int(text)


def _subnet(text: str) -> str:
    from ipaddress import ip_network

    try:
        return str(ip_network(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"must be a subnet, such as 172.30.0.0/24: {error}") from error
