// Chat templates for checkpoints of the original LLaVA repositories, whose folders have none that know pictures.

const words = `{% if m.content is string %}{{ m.content }}{% else %}{% for p in m.content %}{% if p.type == 'text' %}{{ p.text }}{% else %}{{ '<' + p.type + '>\n' }}{% endif %}{% endfor %}{% endif %}`;
const withoutSystem = `{% if messages[0].role == 'system' %}{% set system = messages[0].content %}{% set turns = messages[1:] %}{% else %}{% set turns = messages %}{% endif %}`;

/** The conversations that the models were trained on: `vicuna_v1`, `qwen_1_5` and `mistral_instruct` of the repositories. */
export const originalTemplates = {
  llama: `{% set system = "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, and polite answers to the user's questions." %}${withoutSystem}{{ system }} {% for m in turns %}{% if m.role == 'user' %}USER: ${words} {% else %}ASSISTANT: ${words}</s>{% endif %}{% endfor %}{% if add_generation_prompt %}ASSISTANT:{% endif %}`,
  qwen2: `{% set system = 'You are a helpful assistant.' %}${withoutSystem}{{ '<|im_start|>system\n' + system + '<|im_end|>\n' }}{% for m in turns %}{{ '<|im_start|>' + m.role + '\n' }}${words}{{ '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}`,
  mistral: `{% for m in messages %}{% if m.role == 'user' %}[INST] ${words} [/INST]{% else %} ${words}</s>{% endif %}{% endfor %}`,
};
