"""What customers are told of a fault: our own words, never those that may name paths of this machine."""

import errno

from soloist.model.errors import DestinationError, InternalError, told

PATH = "/var/lib/soloist/spool/j/1/00000.mp4"


def test_an_error_of_ours_is_told_as_it_is():
    error = DestinationError("The bucket is gone.")

    assert told(error) is error


def test_a_refusal_of_the_system_is_told_without_its_path():
    fault = told(OSError(errno.ENOSPC, "No space left on device", PATH))

    assert isinstance(fault, InternalError)
    assert "No space left on device" in str(fault)
    assert PATH not in str(fault)


def test_anything_else_is_told_as_a_fault_of_ours():
    fault = told(ValueError(f"cannot parse {PATH}"))

    assert str(fault) == "Soloist failed; the log line with this request or job id says where."
