"""The model (transformers' LlavaForConditionalGeneration), its training forward pass and its export."""

import copy
import json
import os
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from transformers import (
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

from scenes import IMAGE_SIZE, PATCH_SIZE, PATCHES

IMAGE_TOKENS = PATCHES**2
VISION_WIDTH, VISION_LAYERS, VISION_HEADS = 128, 5, 4
TEXT_WIDTH, TEXT_LAYERS, TEXT_HEADS, TEXT_MLP = 128, 6, 8, 352
CLIP_MEAN = [0.48145466, 0.4578275, 0.40821073]
CLIP_STD = [0.26862954, 0.26130258, 0.27577711]

# The chat template of llava-hf/llava-1.5-7b-hf: all images of a turn, then its text.
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] != 'system' %}{{ message['role'].upper() + ': ' }}{% endif %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>\n' }}{% endfor %}"
    "{% if message['role'] != 'assistant' %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}{{ content['text'] + ' ' }}{% endfor %}"
    "{% else %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}"
    "{% generation %}{{ content['text'] + ' ' }}{% endgeneration %}"
    "{% endfor %}"
    "{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)


def build_model(encoder, seed):
    vocabulary = encoder.tokenizer.get_vocab_size()
    pad_id = encoder.tokenizer.token_to_id("<pad>")
    vision = CLIPVisionConfig(
        hidden_size=VISION_WIDTH,
        intermediate_size=3 * VISION_WIDTH,
        num_hidden_layers=VISION_LAYERS,
        num_attention_heads=VISION_HEADS,
        image_size=IMAGE_SIZE,
        patch_size=PATCH_SIZE,
        projection_dim=VISION_WIDTH,
        hidden_act="quick_gelu",
    )
    text = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=TEXT_WIDTH,
        intermediate_size=TEXT_MLP,
        num_hidden_layers=TEXT_LAYERS,
        num_attention_heads=TEXT_HEADS,
        num_key_value_heads=TEXT_HEADS,
        max_position_embeddings=512,
        rms_norm_eps=1e-5,
        bos_token_id=1,
        eos_token_id=encoder.end_id,
        pad_token_id=pad_id,
        tie_word_embeddings=False,
        initializer_range=0.03,
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_id=encoder.image_id,
        image_seq_length=IMAGE_TOKENS,
        vision_feature_layer=-2,
        vision_feature_select_strategy="default",
        projector_hidden_act="gelu",
        tie_word_embeddings=False,
    )
    torch.manual_seed(seed)
    model = LlavaForConditionalGeneration(config)
    model.generation_config.bos_token_id = 1
    model.generation_config.eos_token_id = encoder.end_id
    model.generation_config.pad_token_id = pad_id
    return model


def vision_tower(model):
    tower = model.model.vision_tower
    return getattr(tower, "vision_model", tower)


# The training forward pass, written out over the weights of the transformers model. It differs from transformers' own in
# one thing: attention is plain matrix products, since backwards through bf16 scaled-dot-product attention is about four
# times slower on CPUs. `check_forward` compares the two.


def split_heads(x, heads):
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def plain_attention(q, k, v, bias=None):
    """[batch, heads, tokens, head size] each -> [batch, tokens, heads * head size]."""
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
    if bias is not None:
        scores = scores + bias
    return (scores.softmax(-1).to(v.dtype) @ v).transpose(1, 2).flatten(2)


def vision_block(layer, x):
    attn, normed = layer.self_attn, layer.layer_norm1(x)
    q, k, v = (split_heads(project(normed), VISION_HEADS) for project in (attn.q_proj, attn.k_proj, attn.v_proj))
    x = x + attn.out_proj(plain_attention(q, k, v))
    hidden = layer.mlp.fc1(layer.layer_norm2(x))
    return x + layer.mlp.fc2(hidden * torch.sigmoid(1.702 * hidden))


def vision_features(tower, pixels, skip_last=1):
    """[batch, 36, width]: patch tokens (no class token) before the last `skip_last` layers; 1 is LLaVA's layer -2."""
    x = tower.pre_layrnorm(tower.embeddings(pixels))
    for layer in tower.encoder.layers[: VISION_LAYERS - skip_last]:
        x = vision_block(layer, x)
    return x[:, 1:]


def rotate(x, cos, sin):
    first, second = x.chunk(2, -1)
    return x * cos + torch.cat([-second, first], -1) * sin


def text_block(layer, x, bias, cos, sin):
    attn, normed = layer.self_attn, layer.input_layernorm(x)
    q, k, v = (split_heads(project(normed), TEXT_HEADS) for project in (attn.q_proj, attn.k_proj, attn.v_proj))
    x = x + attn.o_proj(plain_attention(rotate(q, cos, sin), rotate(k, cos, sin), v, bias))
    normed = layer.post_attention_layernorm(x)
    return x + layer.mlp.down_proj(F.silu(layer.mlp.gate_proj(normed)) * layer.mlp.up_proj(normed))


def forward(model, pixels, prefix, tokens, positions, bias):
    """Final hidden states [batch, tokens, width] of `tokens` (what follows the image), and the vision features.

    pixels [batch, 3, 48, 48]; prefix [p] ids before the image; tokens [batch, n]; positions [batch, p + 36 + n];
    bias [batch, 1, p + 36 + n, p + 36 + n], 0 where attention is allowed.
    """
    language = model.model.language_model
    features = vision_features(vision_tower(model), pixels)
    image = model.model.multi_modal_projector(features)
    before = language.embed_tokens(prefix).expand(len(pixels), -1, -1)
    x = torch.cat([before.to(image.dtype), image, language.embed_tokens(tokens).to(image.dtype)], 1)
    cos, sin = (table.to(x.dtype)[:, None] for table in language.rotary_emb(x, positions))
    for layer in language.layers:
        x = text_block(layer, x, bias, cos, sin)
    return language.norm(x[:, len(prefix) + IMAGE_TOKENS :]), features


def check_forward(model, encoder):
    """Raises if the written-out forward pass and transformers' disagree on a random image and a question."""
    pixels = torch.randn(2, 3, IMAGE_SIZE, IMAGE_SIZE)
    question = encoder.question("What color is the circle?")
    ids = torch.tensor([encoder.prefix + [encoder.image_id] * IMAGE_TOKENS + question]).expand(2, -1)
    length = ids.shape[1]
    with torch.no_grad():
        expected = model(input_ids=ids, pixel_values=pixels).logits[:, -1]
        bias = torch.full((length, length), -1e9).triu(1)[None, None]
        hidden, _ = forward(
            model, pixels, torch.tensor(encoder.prefix), torch.tensor([question] * 2), torch.arange(length)[None], bias
        )
        difference = (model.lm_head(hidden[:, -1]) - expected).abs().max().item()
    if difference > 1e-4 * expected.abs().max().item():
        raise RuntimeError(f"the training forward pass differs from transformers' by {difference}")


def image_processor():
    return CLIPImageProcessorPil(
        size={"shortest_edge": IMAGE_SIZE},
        crop_size={"height": IMAGE_SIZE, "width": IMAGE_SIZE},
        image_mean=CLIP_MEAN,
        image_std=CLIP_STD,
    )


def normalise(images):
    """uint8 [batch, 48, 48, 3] -> float [batch, 3, 48, 48], as the image processor does after resizing and cropping."""
    x = torch.as_tensor(images).permute(0, 3, 1, 2).float() / 255
    return (x - torch.tensor(CLIP_MEAN)[:, None, None]) / torch.tensor(CLIP_STD)[:, None, None]


def hub_name(name):
    """Tensor names as in the published llava-hf checkpoints, whatever transformers calls its modules now."""
    if name == "lm_head.weight":
        return "language_model.lm_head.weight"
    name = name.removeprefix("model.")
    if name.startswith("language_model."):
        return "language_model.model." + name.removeprefix("language_model.")
    if name.startswith("vision_tower.") and not name.startswith("vision_tower.vision_model."):
        return "vision_tower.vision_model." + name.removeprefix("vision_tower.")
    return name


def export(model, folder):
    """Writes the folder as a user of the hub has it; weights in f16. The tokenizer.json is there already."""
    folder = Path(folder)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"),
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        pad_token="<pad>",
        extra_special_tokens={"image_token": "<image>"},
        model_max_length=512,
        padding_side="left",
    )
    LlavaProcessor(
        image_processor=image_processor(),
        tokenizer=tokenizer,
        patch_size=PATCH_SIZE,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=CHAT_TEMPLATE,
    ).save_pretrained(folder)
    # The hub's folders have these two beside processor_config.json; transformers 5 no longer writes them.
    image_processor().save_pretrained(folder)
    tokenizer_config = json.loads((folder / "tokenizer_config.json").read_text())
    tokenizer_config["tokenizer_class"] = "PreTrainedTokenizerFast"  # known to transformers 4 as well
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer_config, indent=2) + "\n")
    special = {f"{name}_token": getattr(tokenizer, f"{name}_token") for name in ("bos", "eos", "unk", "pad")}
    special["image_token"] = "<image>"
    (folder / "special_tokens_map.json").write_text(json.dumps(special, indent=2) + "\n")

    config = copy.deepcopy(model.config)
    config.architectures = ["LlavaForConditionalGeneration"]
    config.dtype = "float16"
    config.save_pretrained(folder)
    model.generation_config.save_pretrained(folder)
    tensors = {hub_name(name): value.detach().half().contiguous() for name, value in model.state_dict().items()}
    tensors = {name: value for name, value in tensors.items() if not name.endswith("position_ids")}
    partial = folder / "model.safetensors.partial"
    save_file(tensors, partial, metadata={"format": "pt"})
    partial.chmod(0o644)
    os.replace(partial, folder / "model.safetensors")


def load(folder):
    """The exported model in float32, for evaluation."""
    return LlavaForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
