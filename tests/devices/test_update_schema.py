"""The [update] table: its laws, and what is said of one that is wrong."""

import pytest

from dbpsim.devices import load_device
from dbpsim.devices.library import validated
from dbpsim.devices.schema import Device
from dbpsim.devices.update_laws import ConstantStep, LinearStep

WINDOW = {"g_min_S": 1e-7, "g_max_S": 1e-6, "source": "a test"}
STEP = {"polarity": "both", "step_S": 1e-9, "source": "a test"}


def device(**update):
    table = {"name": "mine", "family": "test", "conductance": WINDOW, "update": STEP | update}
    return validated(Device, table, "mine.toml")


def test_a_table_that_names_no_law_has_a_constant_step():
    assert isinstance(load_device("pcm").update, ConstantStep)
    assert load_device("pcm").update.law == "constant_step"


def test_a_law_survives_the_round_trip_through_plain_data():
    update = device(law="linear_step", gamma_up=0.1, gamma_down=0.5, asymmetry=-0.2).update
    assert isinstance(update, LinearStep)
    assert Device.model_validate(device(law="linear_step", gamma_up=0.1, gamma_down=0.5).model_dump()).update.gamma_down == 0.5
    assert update.model_copy(update={"step_sigma": 0.0}).gamma_up == 0.1


@pytest.mark.parametrize(
    ("update", "message"),
    [
        ({"law": "linear_stepp"}, "update: law: found 'linear_stepp'; did you mean linear_step?; accepted: constant_step"),
        ({"law": "linear_step", "gamma_up": 0.1}, "update.gamma_down: missing"),
        ({"law": "linear_step", "gamma_up": 0.1, "gama_down": 0.1}, "update.gama_down: unknown key; did you mean gamma_down?"),
        ({"gamma_up": 0.1}, "update.gamma_up: unknown key; accepted: law, polarity"),
        ({"asymmetry": 1.0}, "update.asymmetry: found 1.0; "),
        ({"law": "piecewise_step", "up_factors": [1, 2], "down_factors": [1, 2, 3]}, "found 2 up_factors and 3 down_factors"),
        ({"law": "piecewise_step", "up_factors": [1], "down_factors": [1]}, "update.up_factors: found"),
        ({"polarity": "down"}, "update.polarity: found 'down'"),
    ],
)
def test_errors_name_key_found_and_accepted(update, message):
    with pytest.raises(ValueError) as caught:
        device(**update)
    assert str(caught.value).startswith("mine.toml: update")
    assert message in str(caught.value)
