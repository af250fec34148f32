"""component_config: JSON to components, as it should be. What is wrong with a config is in test_broken_configs."""

import copy
from datetime import timedelta
from typing import Any

import pytest

from flcore import FLComponent
from flcore.config.component_config import ComponentBuilder
from flcore.errors import ConfigError
from launchers.docker_launcher import ClientDockerJobLauncher

HERE = __name__


class Box(FLComponent):
    """A component that holds whatever it is given."""

    def __init__(self, content: Any = None, **more: Any) -> None:
        super().__init__()
        self.content = content
        self.more = more


class Part:
    """What is no component, and part of one."""

    def __init__(self, size: Any = 1) -> None:
        self.size = size


class Fussy(FLComponent):
    def __init__(self) -> None:
        raise ConfigError("a message of its own")


def box(content: Any = None, component_id: str = "box", **more: Any) -> dict[str, Any]:
    return {"id": component_id, "path": f"{HERE}.Box", "args": {"content": content}, **more}


def part(**args: Any) -> dict[str, Any]:
    return {"path": f"{HERE}.Part", "args": args}


def build(*configs: dict[str, Any]) -> dict[str, FLComponent]:
    return ComponentBuilder("site.json", {"CONFIG_DIR": "/etc/site"}).build_all(list(configs))


def built_content(content: Any) -> Any:
    """Return what a component gets for an argument."""
    component = build(box(content))["box"]
    assert isinstance(component, Box)
    return component.content


# --- which class ---


@pytest.mark.parametrize("key", ["path", "class_path"])
def test_a_class_is_named_by_its_module(key: str) -> None:
    assert isinstance(build({"id": "box", key: f"{HERE}.Box"})["box"], Box)


def test_a_class_that_an_installed_package_registers_is_named_by_its_short_name() -> None:
    built = build({"id": "launcher", "name": "ClientDockerJobLauncher", "args": {"network": "n"}})["launcher"]
    assert isinstance(built, ClientDockerJobLauncher)
    assert built.network == "n"


@pytest.mark.parametrize("key", ["path", "class_path"])
def test_an_argument_that_names_a_class_is_built(key: str) -> None:
    built = built_content({key: f"{HERE}.Part", "args": {"size": 7}})
    assert isinstance(built, Part)
    assert built.size == 7


def test_an_argument_with_a_short_name_is_built_if_it_says_that_it_is_a_component() -> None:
    config = {"name": "ClientDockerJobLauncher", "config_type": "component"}
    assert isinstance(built_content(config), ClientDockerJobLauncher)


def test_an_argument_with_a_name_alone_is_just_data() -> None:
    assert built_content({"name": "ClientDockerJobLauncher"}) == {"name": "ClientDockerJobLauncher"}


def test_a_class_without_a_signature_can_be_built_too() -> None:
    assert isinstance(built_content({"path": "datetime.timedelta"}), timedelta)


# --- nesting ---


def test_components_in_lists_are_built() -> None:
    built = built_content([part(size=1), [part(size=2)], 3])
    assert (built[0].size, built[1][0].size, built[2]) == (1, 2, 3)


def test_components_in_objects_are_built() -> None:
    assert built_content({"a": {"b": part(size=5)}})["a"]["b"].size == 5


def test_components_in_components_are_built() -> None:
    assert built_content(part(size=part(size=part(size=9)))).size.size.size == 9


def test_an_object_of_config_type_dict_is_not_built() -> None:
    config = {"path": f"{HERE}.Part", "args": {"size": "${CONFIG_DIR}"}, "config_type": "dict"}
    assert built_content(config) == config | {"args": {"size": "/etc/site"}}


# --- building ---


def test_components_are_built_in_their_order_and_named_by_their_ids() -> None:
    components = build(box(component_id="b"), box(component_id="a"), box(component_id="c"))
    assert list(components) == ["b", "a", "c"]
    assert [component.name for component in components.values()] == ["b", "a", "c"]


def test_a_component_without_args_is_built_with_none() -> None:
    assert isinstance(build({"id": "box", "path": f"{HERE}.Box"})["box"], Box)


def test_a_component_that_takes_any_argument_gets_any() -> None:
    component = build({"id": "box", "path": f"{HERE}.Box", "args": {"color": "red"}})["box"]
    assert isinstance(component, Box)
    assert component.more == {"color": "red"}


def test_a_disabled_component_is_left_out() -> None:
    assert list(build(box(component_id="a", disabled=True), box(component_id="b", disabled=False))) == ["b"]


def test_the_class_of_a_disabled_component_need_not_be_there() -> None:
    assert build({"id": "a", "path": "no.such.Thing", "disabled": True}) == {}


def test_a_disabled_component_in_an_argument_is_none() -> None:
    assert built_content([part() | {"disabled": True}]) == [None]


def test_no_components_are_no_error() -> None:
    assert build() == {}


def test_building_twice_gives_distinct_instances_and_leaves_the_config_unchanged() -> None:
    config = box([part(size={"a": [1]})])
    before = copy.deepcopy(config)
    first, second = built_components(config), built_components(config)
    assert config == before
    assert first is not second
    assert first.content[0] is not second.content[0]
    assert first.content[0].size is not second.content[0].size


def built_components(config: dict[str, Any]) -> Box:
    component = build(config)["box"]
    assert isinstance(component, Box)
    return component


def test_a_component_cannot_change_the_config_through_its_arguments() -> None:
    config = box({"list": [1]})
    built_components(config).content["list"].append(2)
    assert config["args"]["content"] == {"list": [1]}


def test_nothing_is_built_before_all_ids_are_checked() -> None:
    with pytest.raises(ConfigError, match="the id 'box' stands twice"):
        build({"id": "box", "path": f"{HERE}.Fussy"}, box())


def test_an_error_that_a_component_words_itself_is_taken_over() -> None:
    with pytest.raises(ConfigError) as raised:
        build({"id": "fussy", "path": f"{HERE}.Fussy"})
    assert str(raised.value) == "site.json: component 'fussy': a message of its own"


# --- variables ---


def test_the_folder_of_the_config_is_put_into_arguments_wherever_they_are() -> None:
    built = built_content({"a": ["${CONFIG_DIR}/x", part(size="${CONFIG_DIR}")]})
    assert built["a"][0] == "/etc/site/x"
    assert built["a"][1].size == "/etc/site"


@pytest.mark.parametrize("text", ["$CONFIG_DIR", "${OTHER}", "{CONFIG_DIR}", "$"])
def test_other_text_with_a_dollar_stays_as_it_is(text: str) -> None:
    assert built_content(text) == text
