"""How Celery is set."""

from mailing_manager_project.celery import app


def test_no_task_can_be_ended_by_a_lost_broker() -> None:
    # Celery ends tasks with acks_late when it loses the broker, and messages would be cut off.
    assert app.conf.worker_cancel_long_running_tasks_on_connection_loss
    ours = [app.tasks[name] for name in ("start_mailing", "send_message", "finish_mailing")]
    assert not any(task.acks_late for task in (*ours, *app.tasks.values()))
