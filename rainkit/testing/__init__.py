"""The conformance kit: tests that every method plugin must pass.

A plugin's test file subclasses the contract and names its method; pytest runs the tests::

    from rainkit.testing import MethodContract


    class TestMyMethod(MethodContract):
        method = "my-method"

Networks run on the CPU, on small pictures, with fresh weights unless the plugin ships some. A test
of a claim that the method does not make is skipped.
"""

from __future__ import annotations

from rainkit.testing.description import Description, Shipping
from rainkit.testing.network import Behaviour
from rainkit.testing.training import Learning

__all__ = ["MethodContract"]


class MethodContract(Description, Behaviour, Learning, Shipping):
    """Tests of what rainkit relies on; subclass it and set ``method`` to the method's name."""
