; A boot sector that sets the keyboard's lights: the first key that is pressed puts 1 (scroll lock) on, the next 2
; (num lock), the next 4 (caps lock), the next 1 again. It says "READY" on COM1.
;
;   nasm -f bin -o lights.img lights.asm
bits 16
org 0x7c00
    xor ax, ax
    mov ds, ax
    cli
    mov bl, 1
    mov si, ready
.say:
    lodsb
    test al, al
    jz main
    mov dx, 0x3f8
    out dx, al
    jmp .say
main:
    call read
    test al, 0x80                   ; a key that is let go
    jnz main
    mov al, 0xed
    call write
    call read                       ; 0xfa, it listens
    mov al, bl
    call write
    call read
    shl bl, 1
    cmp bl, 8
    jne main
    mov bl, 1
    jmp main
read:
    in al, 0x64
    test al, 1
    jz read
    in al, 0x60
    ret
write:
    mov ah, al
.full:
    in al, 0x64
    test al, 2
    jnz .full
    mov al, ah
    out 0x60, al
    ret
ready db "READY", 10, 0
times 510 - ($ - $$) db 0
    dw 0xaa55
