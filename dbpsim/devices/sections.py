"""What every section of a TOML file has in common: bounded numbers, and no unknown keys."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


def _number(value: object) -> object:
    # TOML tells numbers from texts and truth values: `stuck_on = true` is no share of one.
    if isinstance(value, bool | str):
        raise ValueError("a number is accepted")
    return value


Number = BeforeValidator(_number)
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False), Number]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False), Number]
Finite = Annotated[float, Field(allow_inf_nan=False), Number]


class Section(BaseModel):
    """A table of a file: unknown keys are refused, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)
