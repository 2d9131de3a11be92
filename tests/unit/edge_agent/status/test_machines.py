"""What a person counts as an alarm."""

from edge_agent.status.machines import points_in_alarm


def test_a_fault_line_under_a_models_alarm_is_the_same_alarm():
    alarms = [
        {"kind": "model", "subject": "rig-1.bearing-1"},
        {"kind": "fault_line", "subject": "rig-1.bearing-1"},
        {"kind": "zone", "subject": "rig-1.bearing-2"},
    ]
    assert points_in_alarm(alarms) == 2
    assert points_in_alarm([]) == 0
