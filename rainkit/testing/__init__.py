"""The conformance kit: what every method plugin must pass.

A plugin's test file subclasses the contract and names its method; pytest does the rest::

    from rainkit.testing import MethodContract


    class TestMyMethod(MethodContract):
        method = "my-method"

Networks run on the CPU, on small pictures, with fresh weights unless the plugin ships some.
"""

from __future__ import annotations

from rainkit.testing.description import Description
from rainkit.testing.network import Behaviour
from rainkit.testing.shipping import Shipping
from rainkit.testing.training import Learning

__all__ = ["MethodContract"]


class MethodContract(Description, Behaviour, Learning, Shipping):
    """What rainkit relies on when it runs a method; subclass it with the method's name."""
