"""What one memory cell does, and the library of measured ones."""

from dbpsim.devices.library import list_devices, load_device
from dbpsim.devices.schema import Device

__all__ = ["Device", "list_devices", "load_device"]
