import django.db.models.deletion
import webhooks.addresses
import webhooks.models
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
    ]

    operations = [
        migrations.CreateModel(
            name='Webhook',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('url', models.CharField(help_text='Where events are posted.', max_length=1000, validators=[webhooks.addresses.check_url], verbose_name='URL')),
                ('events', models.JSONField(help_text='What it is told.', validators=[webhooks.models.validate_events])),
                ('is_active', models.BooleanField(db_default=True, default=True, verbose_name='active')),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('updated_at', models.DateTimeField(auto_now=True)),
                ('secret', models.TextField(editable=False, help_text='Encrypted (see `signing`).')),
                ('former_secret', models.TextField(default='', editable=False)),
                ('former_secret_until', models.DateTimeField(editable=False, null=True)),
                ('position', models.CharField(default='', editable=False, max_length=100)),
                ('attempted_at', models.DateTimeField(editable=False, null=True)),
                ('failing_since', models.DateTimeField(editable=False, null=True)),
                ('held_until', models.DateTimeField(editable=False, null=True)),
                ('disabled_at', models.DateTimeField(editable=False, null=True)),
                ('disabled_reason', models.CharField(default='', editable=False, max_length=255)),
                ('courier', models.BigIntegerField(editable=False, null=True)),
                ('courier_until', models.DateTimeField(editable=False, null=True)),
                ('deleted_at', models.DateTimeField(editable=False, null=True)),
            ],
            options={
                'ordering': ('-id',),
            },
        ),
        migrations.CreateModel(
            name='Delivery',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('message_id', models.CharField(default=webhooks.models.new_message_id, help_text='The same in every attempt.', max_length=64, verbose_name='webhook-id')),
                ('event', models.CharField(max_length=64)),
                ('at', models.DateTimeField(help_text='When it happened.')),
                ('data', models.JSONField(null=True)),
                ('after', models.CharField(default='', help_text='The cursor before the page.', max_length=100)),
                ('number', models.PositiveIntegerField(default=0, help_text='Changes on the page.')),
                ('state', models.CharField(choices=[('pending', 'Pending'), ('delivered', 'Delivered'), ('failed', 'Failed')], default='pending', max_length=16)),
                ('attempts', models.PositiveIntegerField(default=0)),
                ('next_attempt_at', models.DateTimeField(null=True)),
                ('attempted_at', models.DateTimeField(null=True)),
                ('status_code', models.PositiveSmallIntegerField(null=True)),
                ('duration', models.FloatField(help_text='Seconds.', null=True)),
                ('error', models.CharField(default='', max_length=255)),
                ('finished_at', models.DateTimeField(null=True)),
                ('webhook', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='deliveries', to='webhooks.webhook')),
            ],
            options={
                'verbose_name_plural': 'deliveries',
                'ordering': ('-id',),
                'default_permissions': (),
                'indexes': [models.Index(fields=['webhook', '-id'], name='delivery_log_idx'), models.Index(condition=models.Q(('state', 'pending')), fields=['webhook', 'next_attempt_at'], name='delivery_due_idx'), models.Index(condition=models.Q(('finished_at__isnull', False)), fields=['finished_at'], name='delivery_finished_idx')],
            },
        ),
    ]
